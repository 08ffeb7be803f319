-- What an operator will decide about. The group of a new error is made here, without touching groups that exist; their
-- counts are told to jobs_deadlettertally, a row for each group of the batch, which is an insert and waits for nobody.
-- In the order of fingerprints, since two workers may make the same new groups.
WITH letter AS (
    INSERT INTO jobs_deadletter (job_id, kind, queue, error_class, message, traceback, attempts, fingerprint)
    SELECT j.id, j.kind, j.queue, u.error_class, u.message, u.traceback, j.attempt, u.fingerprint
    FROM unnest(%(jobs)s::bigint[], %(error_classes)s::text[], %(messages)s::text[], %(tracebacks)s::text[],
                %(fingerprints)s::text[]) AS u(job, error_class, message, traceback, fingerprint)
    JOIN jobs_job j ON j.id = u.job
    RETURNING fingerprint, kind, error_class, message, died_at
), born AS (
    INSERT INTO jobs_deadlettergroup (fingerprint, error_class, message, kinds, count, first_seen, last_seen, note)
    SELECT DISTINCT ON (l.fingerprint)
           l.fingerprint, l.error_class, left(l.message, 500), ARRAY[l.kind], 0, l.died_at, l.died_at, ''
    FROM letter l
    WHERE NOT EXISTS (SELECT 1 FROM jobs_deadlettergroup g WHERE g.fingerprint = l.fingerprint)
    ORDER BY l.fingerprint
    ON CONFLICT (fingerprint) DO NOTHING
)
INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)
SELECT fingerprint, kind, count(*), max(died_at) FROM letter GROUP BY fingerprint, kind
