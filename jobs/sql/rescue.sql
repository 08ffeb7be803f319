-- Give the jobs of a dead worker's batch back. `ready_at` stays, so that they keep their place in the line. From here on
-- the old fence (attempt, worker, running) matches nothing.
--
-- A loss costs no attempt: it is counted in the options, and one attempt more is allowed; too many losses are a dead
-- letter (0: they are not counted). One job that ends its workers takes a batch of good ones with it each time, so from the second loss on only
-- those count whose handler had begun (jobs_begun). The caller has locked the jobs before, in a statement of its own: a mark
-- written while this waited for the lock would not be seen. Numbers are never given out twice.
WITH held AS MATERIALIZED (
    SELECT j.id, j.started_at, coalesce((j.options ->> 'losses')::int, 0) AS losses,
           coalesce(j.options ? 'losses', false) AND NOT EXISTS (
               SELECT 1 FROM jobs_begun b
               WHERE b.job_id = j.id AND b.attempt = j.attempt AND b.worker_id = %(worker)s) AS innocent
    FROM jobs_job j
    WHERE j.id = ANY(%(ids)s::bigint[]) AND j.worker_id = %(worker)s AND j.state = 'running'
    ORDER BY j.id
    FOR UPDATE
), judged AS (
    SELECT h.*, (NOT h.innocent AND %(most)s::int > 0 AND h.losses + 1 >= %(most)s::int) OR j.attempt >= 32000 AS dead
    FROM held h JOIN jobs_job j ON j.id = h.id
)
UPDATE jobs_job j
SET state = CASE WHEN u.dead THEN 'dead' ELSE 'available' END,
    finished_at = CASE WHEN u.dead THEN clock_timestamp() END,
    max_attempts = CASE WHEN u.dead THEN j.max_attempts ELSE least(32000, j.max_attempts + 1) END,
    options = CASE WHEN u.innocent OR %(most)s::int = 0 THEN j.options
                   ELSE coalesce(j.options, '{}') || jsonb_build_object('losses', u.losses + 1) END
FROM judged u WHERE j.id = u.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, j.state, j.attempt, u.started_at, u.innocent,
          (j.options ->> 'losses')::int
