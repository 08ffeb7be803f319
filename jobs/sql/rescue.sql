-- Give the jobs of a dead worker's batch back: available at once, or dead where the attempts are used up. `ready_at`
-- stays, so that they keep their place in the line. From here on the old fence (attempt, worker, running) matches
-- nothing.
WITH held AS MATERIALIZED (
    SELECT j.id, j.started_at FROM jobs_job j
    WHERE j.id = ANY(%(ids)s::bigint[]) AND j.worker_id = %(worker)s AND j.state = 'running'
    ORDER BY j.id
    FOR UPDATE
)
UPDATE jobs_job j
SET state = CASE WHEN j.attempt >= j.max_attempts THEN 'dead' ELSE 'available' END,
    finished_at = CASE WHEN j.attempt >= j.max_attempts THEN clock_timestamp() END
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, j.state, j.attempt, h.started_at
