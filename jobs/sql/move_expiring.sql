-- These jobs run, or have begun: look again at their deadline; in a few seconds, where an attempt may yet come back that
-- had not begun.
UPDATE jobs_expiring e
SET at = greatest(coalesce(jobs_deadline(j.options, j.created_at), '-infinity'),
                  clock_timestamp() + make_interval(secs => %(pause)s))
FROM jobs_job j WHERE j.id = e.job_id AND e.job_id = ANY(%(ids)s::bigint[])
