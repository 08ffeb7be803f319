-- Waiting jobs whose time has come become available, with their ready rows; of the ids given, those that are due by the
-- database's clock (or all of them with `anyway`, for an operator who does not want to wait). Skips what another worker
-- promotes. The rank comes back, so that whoever promotes need not look for what it has just made ready.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), due AS MATERIALIZED (
    SELECT s.job_id, s.state FROM jobs_scheduled s, clock
    WHERE s.job_id = ANY(%(ids)s::bigint[]) AND (s.at <= clock.now OR %(anyway)s)
    ORDER BY s.job_id
    FOR UPDATE OF s SKIP LOCKED
), gone AS (
    DELETE FROM jobs_scheduled s WHERE s.job_id = ANY(ARRAY(SELECT d.job_id FROM due d))
), moved AS (
    UPDATE jobs_job j SET state = 'available', ready_at = clock.now
    FROM due d, clock
    WHERE j.id = d.job_id AND j.state IN ('scheduled', 'retryable')
    RETURNING j.id, j.kind, j.queue, j.workflow_id, d.state AS before, j.priority, j.ready_at, j.options
), ranked AS MATERIALIZED (
    SELECT m.*, jobs_rank(m.ready_at, m.priority, q.ageing_seconds) AS rank,
           CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0 THEN m.options ->> 'concurrency_key' END AS key
    FROM moved m JOIN jobs_queue q ON q.name = m.queue
), ready AS (
    INSERT INTO jobs_ready (job_id, queue, kind, rank, key) SELECT id, queue, kind, rank, key FROM ranked
)
SELECT id, kind, queue, workflow_id, before, rank FROM ranked
