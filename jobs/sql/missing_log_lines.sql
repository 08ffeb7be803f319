-- Of the last lines of each job in a batch, those that would stand if the batch had been committed and do not. Where as many
-- newer ones stand as are kept, it may have been trimmed since; where the job is gone, deleted with it. By primary key and by
-- a bounded index range, however the batch came out.
SELECT u.job
FROM unnest(%(ids)s::bigint[], %(jobs)s::bigint[], %(attempts)s::smallint[], %(ats)s::float8[], %(lines)s::text[])
    AS u(id, job, attempt, at, line)
WHERE NOT EXISTS (
        SELECT FROM jobs_logline l
        WHERE l.id = u.id AND l.job_id = u.job AND l.attempt = u.attempt AND l.at = to_timestamp(u.at) AND l.line = u.line)
  AND EXISTS (SELECT FROM jobs_job j WHERE j.id = u.job)
  AND (SELECT count(*) FROM (
        SELECT FROM jobs_logline l WHERE l.job_id = u.job AND l.id > u.id LIMIT %(keep)s) newer) < %(keep)s
