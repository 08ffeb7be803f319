-- The attempts of these jobs have ended, in this transaction and behind their fence: their places are free.
-- They come back as rows: this runs in a pipe, where a row count is not known.
DELETE FROM jobs_permit WHERE job_id = ANY(%(ids)s::bigint[])
RETURNING job_id
