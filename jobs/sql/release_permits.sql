-- The attempts of these jobs have ended, in this transaction and behind their fence: their places are free.
DELETE FROM jobs_permit WHERE job_id = ANY(%(ids)s::bigint[])
