-- Take up to `limit` of the candidates, best rank first, or in the order of `places` (of a worker that shares itself among
-- queues: `sorted` are the ids, `places` says which comes when); the rows come back in any order. The database decides: what
-- another worker holds is skipped (SKIP LOCKED, in a materialised CTE so that it runs once), what a pause covers is left,
-- and so are queues with limits (claim_limited.sql takes from those). Rows are reached by primary key; a hash join over
-- the whole job table was five times slower, so the worker's connection switches it off. No joins but `= ANY(ARRAY(...))`:
-- a queue that was vacuumed while it was empty is one row to the planner until the next ANALYZE, and it then walked through
-- the whole backlog once for each picked job (7 s a claim at 20,000). One claim row stands for the whole batch: rescue reads
-- a dead worker's jobs off it.
WITH picked AS MATERIALIZED (
    SELECT r.job_id
    FROM jobs_ready r
    WHERE r.job_id = ANY(%(ids)s::bigint[])
      -- Declared lost and not told yet: whatever it took would be given back at once, a loss to each job.
      AND NOT EXISTS (SELECT 1 FROM jobs_workerprocess w WHERE w.id = %(worker)s AND w.state IN ('lost', 'stopped'))
      AND NOT (r.queue = ANY(ARRAY(
          SELECT q.name FROM jobs_queue q
          WHERE q.paused_at IS NOT NULL OR num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) > 0)))
      AND NOT (r.kind = ANY(ARRAY(SELECT k.kind FROM jobs_pausedkind k)))
    ORDER BY (%(places)s::int[])[width_bucket(r.job_id, %(sorted)s::bigint[])], r.rank, r.job_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs_ready r WHERE r.job_id = ANY(ARRAY(SELECT p.job_id FROM picked p))
), batch AS (
    INSERT INTO jobs_claim (worker_id, jobs)
    SELECT %(worker)s::bigint, array_agg(p.job_id) FROM picked p HAVING count(*) > 0
    RETURNING id
)
UPDATE jobs_job j
SET state = 'running', attempt = j.attempt + 1, worker_id = %(worker)s, started_at = clock_timestamp()
WHERE j.id = ANY(ARRAY(SELECT p.job_id FROM picked p)) AND j.state = 'available'
RETURNING j.id, j.kind, j.queue, j.attempt, j.max_attempts, j.payload::text, j.options::text, j.workflow_id, j.task,
          (SELECT batch.id FROM batch)
