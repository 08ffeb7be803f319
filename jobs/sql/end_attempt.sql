-- The other ends of an attempt, behind the same fence: retry, snooze, give back, die, discard, cancel. `refund` gives
-- the attempt back. `ready_at` stays, so that a job that is given back keeps its place in the line. What this returns is
-- what the attempt's row in the history is written from.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[], %(states)s::text[], %(refunds)s::bool[])
        AS u(id, attempt, state, refund)
), held AS MATERIALIZED (
    SELECT j.id, j.started_at FROM jobs_job j JOIN input i ON i.id = j.id
    WHERE j.attempt = i.attempt AND j.worker_id = %(worker)s AND j.state = 'running'
    ORDER BY j.id
    FOR UPDATE OF j
)
UPDATE jobs_job j
SET state = i.state,
    attempt = CASE WHEN i.refund THEN j.attempt - 1 ELSE j.attempt END,
    finished_at = CASE WHEN i.state IN ('dead', 'discarded', 'cancelled') THEN clock_timestamp() END
FROM input i JOIN held h ON h.id = i.id
WHERE j.id = i.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, h.started_at
