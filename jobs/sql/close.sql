-- Take jobs that are not running out of the game: cancelled, discarded or skipped. `sources` are the states the move may
-- start from (the transition table's). Locks in id order. `= ANY(ARRAY(...))` instead of joins: see claim.sql.
WITH held AS MATERIALIZED (
    SELECT j.id, j.state FROM jobs_job j
    WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = ANY(%(sources)s::text[]) AND j.state <> 'running'
    ORDER BY j.id
    FOR UPDATE
), ready AS (
    DELETE FROM jobs_ready r WHERE r.job_id = ANY(ARRAY(SELECT h.id FROM held h))
), scheduled AS (
    DELETE FROM jobs_scheduled s WHERE s.job_id = ANY(ARRAY(SELECT h.id FROM held h))
), blocked AS (
    DELETE FROM jobs_blocked b WHERE b.job_id = ANY(ARRAY(SELECT h.id FROM held h))
), dead AS (
    DELETE FROM jobs_deadletter d WHERE d.job_id = ANY(ARRAY(SELECT h.id FROM held h))
    RETURNING d.fingerprint, d.kind
), told AS (
    INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)
    SELECT fingerprint, kind, -count(*), clock_timestamp() FROM dead GROUP BY fingerprint, kind
)
UPDATE jobs_job j SET state = %(target)s, finished_at = clock_timestamp()
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, h.state AS before
