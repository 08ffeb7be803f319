-- What an operator will decide about.
INSERT INTO jobs_deadletter (job_id, kind, queue, error_class, message, traceback, attempts, fingerprint)
SELECT j.id, j.kind, j.queue, u.error_class, u.message, u.traceback, j.attempt, u.fingerprint
FROM unnest(%(jobs)s::bigint[], %(error_classes)s::text[], %(messages)s::text[], %(tracebacks)s::text[],
            %(fingerprints)s::text[]) AS u(job, error_class, message, traceback, fingerprint)
JOIN jobs_job j ON j.id = u.job
