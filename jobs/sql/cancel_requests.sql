-- Which of the running jobs somebody asked to stop. The table holds only open requests, so it is tiny.
SELECT job_id, reason FROM jobs_cancelrequest WHERE job_id = ANY(%(ids)s::bigint[])
