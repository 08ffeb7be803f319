-- A handler is about to begin whose job has a start deadline, a deadline, or has lost a worker before. Says whether it may
-- begin, by the database's clock, and how many seconds are left; marks the attempt as begun, if it is under suspicion. No
-- row: the attempt is not this worker's any more. The job is locked, so that a rescue comes wholly before or after.
WITH held AS (
    SELECT j.id, j.attempt, j.worker_id, j.options, j.created_at FROM jobs_job j
    WHERE j.id = %(job)s AND j.attempt = %(attempt)s AND j.worker_id = %(worker)s AND j.state = 'running'
    FOR UPDATE
), times AS (
    SELECT held.*, clock_timestamp() AS now, jobs_deadline(options, created_at) AS deadline,
           CASE WHEN attempt = 1 THEN (options ->> 'expires_at')::timestamptz END AS expires_at
    FROM held
), marked AS (
    INSERT INTO jobs_begun (job_id, attempt, worker_id)
    SELECT id, attempt, worker_id FROM held WHERE options ? 'losses'
    ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, worker_id = excluded.worker_id
)
SELECT coalesce(expires_at <= now, false), extract(epoch FROM deadline - now)::float8 FROM times
