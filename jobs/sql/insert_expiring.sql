-- When to look first at jobs that must begin or end by a time. `least` passes over what is not set.
INSERT INTO jobs_expiring (job_id, at)
SELECT j.id, least((j.options ->> 'expires_at')::timestamptz, jobs_deadline(j.options, j.created_at))
FROM jobs_job j
WHERE j.id = ANY(%(ids)s::bigint[]) AND (j.options ? 'expires_at' OR j.options ? 'deadline')
ON CONFLICT (job_id) DO NOTHING
