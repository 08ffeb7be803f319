-- The states of jobs, without locks.
SELECT id, state FROM jobs_job WHERE id = ANY(%(ids)s::bigint[])
