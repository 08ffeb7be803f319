-- Which of the jobs wait, without locks: whoever held the rows of some others asks whether it missed any.
SELECT job_id FROM jobs_ready WHERE job_id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT job_id FROM jobs_scheduled WHERE job_id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT job_id FROM jobs_blocked WHERE job_id = ANY(%(ids)s::bigint[])
