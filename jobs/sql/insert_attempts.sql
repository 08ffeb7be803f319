-- History of attempts that did not complete their job. A job may snooze for ever, and always under the same number, so
-- of these only the newest 20 are kept.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(%(jobs)s::bigint[], %(numbers)s::smallint[], %(workers)s::bigint[], %(starts)s::timestamptz[],
                         %(outcomes)s::text[], %(error_classes)s::text[], %(messages)s::text[], %(tracebacks)s::text[])
        AS u(job, number, worker, started, outcome, error_class, message, traceback)
), trimmed AS (
    DELETE FROM jobs_attempt WHERE id = ANY(ARRAY(
        SELECT old.id FROM input i CROSS JOIN LATERAL (
            SELECT a.id FROM jobs_attempt a
            WHERE a.job_id = i.job AND a.number = i.number AND a.outcome = 'snoozed'
            ORDER BY a.id DESC OFFSET 19
        ) old
        WHERE i.outcome = 'snoozed'))
)
INSERT INTO jobs_attempt (job_id, number, worker_id, started_at, finished_at, outcome, error_class, message, traceback)
SELECT job, number, worker, started, clock_timestamp(), outcome, error_class, message, traceback FROM input
