-- History of attempts that did not complete their job.
INSERT INTO jobs_attempt (job_id, number, worker_id, started_at, finished_at, outcome, error_class, message, traceback)
SELECT job, number, worker, started, clock_timestamp(), outcome, error_class, message, traceback
FROM unnest(%(jobs)s::bigint[], %(numbers)s::smallint[], %(workers)s::bigint[], %(starts)s::timestamptz[],
            %(outcomes)s::text[], %(error_classes)s::text[], %(messages)s::text[], %(tracebacks)s::text[])
    AS u(job, number, worker, started, outcome, error_class, message, traceback)
