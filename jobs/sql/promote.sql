-- Waiting jobs whose time has come become available; of the ids given, those that are due by the database's clock (or
-- all of them with `anyway`, for an operator who does not want to wait). Skips what another worker promotes.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), due AS MATERIALIZED (
    SELECT s.job_id, s.state FROM jobs_scheduled s, clock
    WHERE s.job_id = ANY(%(ids)s::bigint[]) AND (s.at <= clock.now OR %(anyway)s)
    ORDER BY s.job_id
    FOR UPDATE OF s SKIP LOCKED
), gone AS (
    DELETE FROM jobs_scheduled s WHERE s.job_id = ANY(ARRAY(SELECT d.job_id FROM due d))
)
UPDATE jobs_job j SET state = 'available', ready_at = clock.now
FROM due d, clock
WHERE j.id = d.job_id AND j.state IN ('scheduled', 'retryable')
RETURNING j.id, j.kind, j.queue, j.workflow_id, d.state AS before
