-- The waiting rows of snoozed and retryable jobs: due `delay` seconds from now, by the database's clock.
WITH row AS (
    INSERT INTO jobs_scheduled (job_id, at, state)
    SELECT job, clock_timestamp() + make_interval(secs => delay), state
    FROM unnest(%(jobs)s::bigint[], %(delays)s::float8[], %(states)s::text[]) AS u(job, delay, state)
    RETURNING job_id, at
)
UPDATE jobs_job j SET scheduled_at = row.at FROM row WHERE j.id = row.job_id
