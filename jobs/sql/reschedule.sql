-- Waiting jobs start at another time, later than now. What was available waits for time again; what waits for parents goes
-- on waiting for them too. The rows they wait in are held already.
WITH held AS MATERIALIZED (
    SELECT id, state, scheduled_at FROM jobs_job
    WHERE id = ANY(%(ids)s::bigint[]) AND state = ANY(%(states)s::text[]) ORDER BY id FOR UPDATE
), gone AS (
    DELETE FROM jobs_ready r USING held h WHERE r.job_id = h.id
), waiting AS (
    INSERT INTO jobs_scheduled (job_id, at, state)
    SELECT h.id, %(at)s, CASE WHEN h.state = 'retryable' THEN 'retryable' ELSE 'scheduled' END
    FROM held h WHERE h.state <> 'blocked'
    ON CONFLICT (job_id) DO UPDATE SET at = excluded.at
)
UPDATE jobs_job j
SET scheduled_at = %(at)s, state = CASE WHEN h.state = 'available' THEN 'scheduled' ELSE h.state END,
    ready_at = CASE WHEN h.state = 'available' THEN NULL ELSE j.ready_at END
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, h.scheduled_at AS before, j.state
