-- Discarded jobs become the dead letters they were, with their error. The caller holds the jobs.
WITH held AS MATERIALIZED (
    SELECT j.id, i.kept FROM jobs_deadletteritem i JOIN jobs_job j ON j.id = i.job_id
    WHERE i.run_id = %(run)s AND i.state = 'done' AND i.job_id = ANY(%(ids)s::bigint[]) AND j.state = 'discarded'
    ORDER BY j.id
    FOR UPDATE OF j
), gone AS (
    DELETE FROM jobs_closed c WHERE c.job_id = ANY(ARRAY(SELECT h.id FROM held h))
), back AS (
    INSERT INTO jobs_deadletter
    SELECT l.* FROM held h, jsonb_populate_record(NULL::jobs_deadletter, h.kept -> 'letter') AS l
    RETURNING fingerprint, kind, died_at
), told AS (
    INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)
    SELECT fingerprint, kind, count(*), max(died_at) FROM back GROUP BY fingerprint, kind
), mark AS (
    UPDATE jobs_deadletteritem i SET state = 'undone' FROM held h WHERE i.run_id = %(run)s AND i.job_id = h.id
)
UPDATE jobs_job j SET state = 'dead', finished_at = (h.kept -> 'job' ->> 'finished_at')::timestamptz
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id
