-- The latest word of each running job, fenced by its attempt: an older attempt's word never replaces a newer one's.
INSERT INTO jobs_progress (job_id, attempt, fraction, note, updated_at)
SELECT job, attempt, fraction, note, clock_timestamp()
FROM unnest(%(jobs)s::bigint[], %(attempts)s::smallint[], %(fractions)s::float8[], %(notes)s::text[])
    AS u(job, attempt, fraction, note)
ORDER BY job
ON CONFLICT (job_id) DO UPDATE
SET attempt = excluded.attempt, fraction = excluded.fraction, note = excluded.note, updated_at = excluded.updated_at
WHERE jobs_progress.attempt <= excluded.attempt
