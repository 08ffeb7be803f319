-- Replayed jobs that have not started become the dead letters they were, with their error. The caller holds their rows
-- in jobs_ready, as a claim does first, so no worker can take them meanwhile. One that was taken and given back counts
-- as started: its handler may have begun.
WITH held AS MATERIALIZED (
    SELECT j.id, i.kept FROM jobs_deadletteritem i JOIN jobs_job j ON j.id = i.job_id
    WHERE i.run_id = %(run)s AND i.state = 'done' AND i.job_id = ANY(%(ids)s::bigint[]) AND j.state = 'available'
      AND j.attempt = (i.kept -> 'letter' ->> 'attempts')::int
      AND j.started_at IS NOT DISTINCT FROM (i.kept -> 'job' ->> 'started_at')::timestamptz
    ORDER BY j.id
    FOR UPDATE OF j
), gone AS (
    DELETE FROM jobs_ready r WHERE r.job_id = ANY(ARRAY(SELECT h.id FROM held h))
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
UPDATE jobs_job j
SET state = 'dead', finished_at = (h.kept -> 'job' ->> 'finished_at')::timestamptz,
    ready_at = (h.kept -> 'job' ->> 'ready_at')::timestamptz,
    max_attempts = (h.kept -> 'job' ->> 'max_attempts')::smallint,
    payload = coalesce(h.kept -> 'job' -> 'payload', j.payload),
    options = CASE WHEN h.kept -> 'job' ? 'options' THEN nullif(h.kept -> 'job' -> 'options', 'null') ELSE j.options END
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id
