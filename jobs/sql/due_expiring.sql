-- Jobs whose time is up, oldest first, by the index on the time; what another worker looks at is skipped. `expired`: it had
-- to begin by now and has not; `late`: its deadline has passed.
WITH due AS MATERIALIZED (
    SELECT e.job_id FROM jobs_expiring e
    WHERE e.at <= coalesce(%(now)s::timestamptz, clock_timestamp())
    ORDER BY e.at, e.job_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
SELECT j.id, j.state,
       j.attempt = 0 AND coalesce((j.options ->> 'expires_at')::timestamptz <= coalesce(%(now)s::timestamptz, clock_timestamp()), false),
       coalesce(jobs_deadline(j.options, j.created_at) <= coalesce(%(now)s::timestamptz, clock_timestamp()), false)
FROM jobs_job j WHERE j.id = ANY(ARRAY(SELECT due.job_id FROM due))
ORDER BY j.id
