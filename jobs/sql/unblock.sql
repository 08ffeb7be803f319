-- Children whose last parent completed become available, or scheduled where their own time lies ahead.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), gone AS (
    DELETE FROM jobs_blocked WHERE job_id = ANY(%(ids)s::bigint[])
), waiting AS (
    INSERT INTO jobs_scheduled (job_id, at, state)
    SELECT j.id, j.scheduled_at, 'scheduled' FROM jobs_job j, clock
    WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'blocked' AND j.scheduled_at > clock.now
)
UPDATE jobs_job j
SET state = CASE WHEN j.scheduled_at > clock.now THEN 'scheduled' ELSE 'available' END,
    ready_at = CASE WHEN j.scheduled_at > clock.now THEN NULL ELSE clock.now END
FROM clock
WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'blocked'
RETURNING j.id, j.kind, j.queue, j.workflow_id, j.state
