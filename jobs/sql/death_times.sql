-- Which letter each job has now. Asked after the jobs are held: what was read before may be another letter's.
SELECT job_id, died_at FROM jobs_deadletter WHERE job_id = ANY(%(ids)s::bigint[])
