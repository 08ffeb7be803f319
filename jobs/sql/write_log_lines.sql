-- A batch of lines of running jobs; ids keep their order, and come back in it.
INSERT INTO jobs_logline (job_id, attempt, at, level, line)
SELECT job, attempt, to_timestamp(at), level, line
FROM unnest(%(jobs)s::bigint[], %(attempts)s::smallint[], %(ats)s::float8[], %(levels)s::text[], %(lines)s::text[])
    WITH ORDINALITY AS u(job, attempt, at, level, line, ord)
ORDER BY ord
RETURNING id
