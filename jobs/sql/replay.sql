-- Dead letters become available with fresh attempts: the numbers go on, so that the fence and the history stay unique. One
-- that has used up 32,000, all that the column holds, stays dead. Losses of workers are forgiven, and a deadline that has
-- passed is lifted: with it the job would be discarded instead of run, and an operator has decided otherwise.
WITH held AS MATERIALIZED (
    SELECT j.id, j.attempt, j.max_attempts FROM jobs_job j
    WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'dead' AND j.attempt < 32000 ORDER BY j.id FOR UPDATE
), gone AS (
    DELETE FROM jobs_deadletter d WHERE d.job_id = ANY(ARRAY(SELECT h.id FROM held h))
    RETURNING d.fingerprint, d.kind
), told AS (
    INSERT INTO jobs_deadlettertally (fingerprint, kind, change, at)
    SELECT fingerprint, kind, -count(*), clock_timestamp() FROM gone GROUP BY fingerprint, kind
)
UPDATE jobs_job j
SET state = 'available', ready_at = coalesce(%(now)s::timestamptz, clock_timestamp()), finished_at = NULL,
    options = nullif(CASE WHEN jobs_deadline(j.options, j.created_at) <= coalesce(%(now)s::timestamptz, clock_timestamp())
                          THEN j.options - 'losses' - 'deadline' ELSE j.options - 'losses' END, '{}'),
    max_attempts = least(32000, j.attempt + greatest(1, j.max_attempts - j.attempt, %(attempts)s))
FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id
