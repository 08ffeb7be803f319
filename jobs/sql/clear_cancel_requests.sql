-- The run that was asked to stop has ended, one way or another.
DELETE FROM jobs_cancelrequest WHERE job_id = ANY(%(ids)s::bigint[])
