"""Do the tables agree with each other? One statement that returns every disagreement; empty means consistent.

The narrow tables, the claims, the workflow counts and the event log say in other words what `jobs_job.state` says,
and no foreign key or trigger holds them together: each change writes them in one transaction. Tests of crashes and
races end with this.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EVENTS", "assert_consistent", "disagreements"]

EVENTS = """
    SELECT item ->> 0 AS kind, one.job::bigint AS job, (item -> 2 ->> 'attempt')::int AS attempt
    FROM notifications_event
    CROSS JOIN LATERAL json_array_elements(items) AS item
    CROSS JOIN LATERAL (
        SELECT item -> 2 ->> 'job' AS job WHERE json_array_length(item) = 3
        UNION ALL
        SELECT json_array_elements_text(item -> 4)
    ) AS one
"""
"""Every event of the log, one row each: an element of `items` is an event, or a series with many ids."""

_CHECK = f"""
WITH job AS MATERIALIZED (
    SELECT id, state, queue, kind, attempt, worker_id, workflow_id, finished_at, ready_at FROM jobs_job
), event AS MATERIALIZED (
    {EVENTS}
), claimed AS MATERIALIZED (
    SELECT c.id AS claim, c.worker_id, unnest(c.jobs) AS job_id FROM jobs_claim c
)
SELECT j.id, 'is ' || j.state || ', and jobs_ready says otherwise'
FROM job j FULL JOIN jobs_ready r ON r.job_id = j.id
WHERE (j.state = 'available') IS DISTINCT FROM (r.job_id IS NOT NULL)
   OR (r.job_id IS NOT NULL AND (r.queue, r.kind) IS DISTINCT FROM (j.queue, j.kind))
UNION ALL
SELECT j.id, 'is ' || j.state || ', and jobs_scheduled says ' || coalesce(s.state, 'nothing')
FROM job j FULL JOIN jobs_scheduled s ON s.job_id = j.id
WHERE (CASE WHEN j.state IN ('scheduled', 'retryable') THEN j.state END) IS DISTINCT FROM s.state
UNION ALL
SELECT j.id, 'is ' || j.state || ', and jobs_blocked says otherwise'
FROM job j FULL JOIN jobs_blocked b ON b.job_id = j.id
WHERE (j.state = 'blocked') IS DISTINCT FROM (b.job_id IS NOT NULL)
UNION ALL
SELECT b.job_id, 'waits for ' || b.pending || ' parents, but ' || count(p.id) || ' have not completed'
FROM jobs_blocked b LEFT JOIN jobs_dependency d ON d.child_id = b.job_id
LEFT JOIN job p ON p.id = d.parent_id AND p.state <> 'completed'
GROUP BY b.job_id, b.pending HAVING b.pending <> count(p.id) OR b.pending = 0
UNION ALL
SELECT d.child_id, 'is ' || c.state || ', though its parent ' || p.id || ' is ' || p.state
FROM jobs_dependency d JOIN job p ON p.id = d.parent_id JOIN job c ON c.id = d.child_id
WHERE p.state <> 'completed' AND c.state NOT IN ('blocked', 'skipped', 'cancelled', 'discarded')
UNION ALL
SELECT j.id, 'is ' || j.state || ', and jobs_deadletter says otherwise'
FROM job j FULL JOIN jobs_deadletter d ON d.job_id = j.id
WHERE (j.state = 'dead') IS DISTINCT FROM (d.job_id IS NOT NULL)
UNION ALL
SELECT coalesce(min(d.job_id), 0), 'is in the group ' || g.fingerprint || ' of ' || count(d.job_id) || ', which says '
    || g.count + coalesce(max(t.change), 0)
FROM jobs_deadlettergroup g LEFT JOIN jobs_deadletter d ON d.fingerprint = g.fingerprint
LEFT JOIN (SELECT fingerprint, sum(change) AS change FROM jobs_deadlettertally GROUP BY fingerprint) t
    ON t.fingerprint = g.fingerprint
GROUP BY g.fingerprint, g.count HAVING count(d.job_id) <> g.count + coalesce(max(t.change), 0)
UNION ALL
SELECT d.job_id, 'is a dead letter of a group that is missing'
FROM jobs_deadletter d LEFT JOIN jobs_deadlettergroup g ON g.fingerprint = d.fingerprint WHERE g.fingerprint IS NULL
UNION ALL
SELECT j.id, 'is ' || j.state || ', and jobs_closed says ' || coalesce(c.state, 'nothing')
FROM job j FULL JOIN jobs_closed c ON c.job_id = j.id
WHERE (CASE WHEN j.state IN ('cancelled', 'discarded', 'skipped') THEN j.state END) IS DISTINCT FROM c.state
UNION ALL
SELECT j.id, 'runs in ' || count(c.claim) || ' claims of its worker'
FROM job j LEFT JOIN claimed c ON c.job_id = j.id AND c.worker_id = j.worker_id
WHERE j.state = 'running' GROUP BY j.id HAVING count(c.claim) = 0
UNION ALL
SELECT j.id, 'is ' || j.state || ' with finished_at ' || coalesce(j.finished_at::text, 'unset') FROM job j
WHERE (j.state IN ('completed', 'dead', 'cancelled', 'discarded', 'skipped')) <> (j.finished_at IS NOT NULL)
UNION ALL
SELECT k.job_id, 'holds the unique key ' || k.key || ', and there is neither this job nor a record of it'
FROM jobs_uniquekey k LEFT JOIN job j ON j.id = k.job_id
WHERE j.id IS NULL AND k.state = ''
UNION ALL
SELECT a.job_id, 'has attempt ' || a.number || ' in its history, but is at ' || j.attempt
FROM jobs_attempt a JOIN job j ON j.id = a.job_id
WHERE a.number > j.attempt + CASE WHEN a.outcome = 'snoozed' THEN 1 ELSE 0 END
UNION ALL
SELECT j.id, 'is ' || j.state || ', and the log has ' || count(e.job) || ' completions of it'
FROM job j LEFT JOIN event e ON e.job = j.id AND e.kind = 'job.completed'
GROUP BY j.id, j.state HAVING count(e.job) <> CASE WHEN j.state = 'completed' THEN 1 ELSE 0 END
UNION ALL
SELECT j.id, 'was completed in attempt ' || j.attempt || ', the log says ' || e.attempt
FROM job j JOIN event e ON e.job = j.id AND e.kind = 'job.completed'
WHERE j.state = 'completed' AND e.attempt <> j.attempt
UNION ALL
SELECT w.id, 'workflow ' || w.name || ': the counts differ from its jobs'
FROM jobs_workflow w LEFT JOIN job j ON j.workflow_id = w.id
GROUP BY w.id, w.name, w.total, w.active, w.blocked, w.dead, w.completed, w.closed, w.state
HAVING (w.total, w.active, w.blocked, w.dead, w.completed, w.closed) IS DISTINCT FROM (
    count(j.id)::int,
    (count(*) FILTER (WHERE j.state IN ('scheduled', 'available', 'running', 'retryable')))::int,
    (count(*) FILTER (WHERE j.state = 'blocked'))::int,
    (count(*) FILTER (WHERE j.state = 'dead'))::int,
    (count(*) FILTER (WHERE j.state = 'completed'))::int,
    (count(*) FILTER (WHERE j.state IN ('cancelled', 'discarded', 'skipped')))::int
) OR (w.state = 'running') <> (w.active > 0) OR (w.state = 'completed') <> (w.completed = w.total)
"""

_AT_REST = """
SELECT id, 'still runs' FROM jobs_job WHERE state = 'running'
UNION ALL SELECT id, 'claim is left over' FROM jobs_claim
UNION ALL SELECT job_id, 'cancel request is left over' FROM jobs_cancelrequest
"""


def disagreements(cursor: Any, *, at_rest: bool = False) -> list[str]:
    """One sentence each. `at_rest`: no worker lives any more, so nothing may run or be claimed."""
    found = []
    for statement in (_CHECK, _AT_REST) if at_rest else (_CHECK,):
        cursor.execute(statement)
        found += [f"{number} {sentence}" for number, sentence in cursor.fetchall()]
    return found


def assert_consistent(cursor: Any, *, at_rest: bool = False) -> None:
    found = disagreements(cursor, at_rest=at_rest)
    assert not found, f"{len(found)} disagreements: " + "; ".join(found[:10])
