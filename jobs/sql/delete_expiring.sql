-- These jobs have ended: no time matters to them any more.
DELETE FROM jobs_expiring WHERE job_id = ANY(%(ids)s::bigint[])
