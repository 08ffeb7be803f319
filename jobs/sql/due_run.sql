-- The running run that nobody has looked after for longest, if that is long enough ago. Another worker's is skipped.
SELECT id, action, state, operator_id, operator_name, reason, attempts, canary, per_minute, total, digest, done, refused,
       returned, undone, canary_job, canary_passed, canary_waived, next_at, looked_at, why, expires_at, finished_at,
       coalesce(%(now)s::timestamptz, clock_timestamp())
FROM jobs_deadletterrun
WHERE state = 'running' AND looked_at <= coalesce(%(now)s::timestamptz, clock_timestamp()) - make_interval(secs => %(every)s)
ORDER BY looked_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
