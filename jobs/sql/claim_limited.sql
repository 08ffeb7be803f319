-- Like claim.sql, for queues whose limits this transaction holds (lock_limits.sql): of each queue and of each key no more
-- than the places that are free and the starts that their rates allow, best rank first; of several queues in the order of
-- `places`, which is the worker's shares among them (see claim.sql). A place is a row of jobs_permit,
-- written here and deleted with the end of the attempt. The key is the job's own; where the ready row stands in another
-- lane (it came in while the limits were changed) it is put into the right one. No joins with tables, as in claim.sql.
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), line AS MATERIALIZED (
    SELECT q.name, q.rate, q.key_max_running, q.key_rate, q.key_rate_seconds, q.key_rate_burst,
           num_nonnulls(q.key_max_running, q.key_rate) > 0 AS keyed, t.tokens,
           least(q.max_running - (SELECT count(*) FROM jobs_permit p WHERE p.queue = q.name),
                 floor(t.tokens)::bigint) AS room
    FROM clock, jobs_queue q
    JOIN jobs_bucket b ON b.queue = q.name AND b.key = ''
    CROSS JOIN LATERAL (
        SELECT jobs_tokens(b.tokens, b.refilled_at, q.rate, q.rate_seconds, q.rate_burst, clock.now) AS tokens
    ) t
    WHERE q.name = ANY(%(queues)s::text[]) AND q.paused_at IS NULL
), candidate AS MATERIALIZED (
    SELECT r.job_id, r.queue, r.rank, r.key AS lane,
           (SELECT j.options ->> 'concurrency_key' FROM jobs_job j WHERE j.id = r.job_id) AS key
    FROM jobs_ready r
    WHERE r.job_id = ANY(%(ids)s::bigint[])
      AND NOT EXISTS (SELECT 1 FROM jobs_workerprocess w WHERE w.id = %(worker)s AND w.state IN ('lost', 'stopped'))
      AND r.queue = ANY(ARRAY(SELECT l.name FROM line l WHERE coalesce(l.room, 1) > 0))
      AND NOT (r.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
    ORDER BY r.rank, r.job_id
    FOR UPDATE SKIP LOCKED
), key AS MATERIALIZED (
    SELECT k.queue, k.key, t.tokens,
           least(l.key_max_running - (SELECT count(*) FROM jobs_permit p WHERE p.queue = k.queue AND p.key = k.key),
                 floor(t.tokens)::bigint) AS room
    FROM clock, (SELECT DISTINCT c.queue, c.key FROM candidate c WHERE c.key IS NOT NULL) k
    JOIN line l ON l.name = k.queue AND l.keyed
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT jobs_tokens(b.tokens, b.refilled_at, l.key_rate, l.key_rate_seconds, l.key_rate_burst, clock.now)
             FROM jobs_bucket b WHERE b.queue = k.queue AND b.key = k.key),
            CASE WHEN l.key_rate IS NOT NULL THEN coalesce(l.key_rate_burst, l.key_rate) END) AS tokens
    ) t
), in_key AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.queue, c.key ORDER BY c.rank, c.job_id) AS place FROM candidate c
), in_line AS (
    SELECT i.*, row_number() OVER (PARTITION BY i.queue ORDER BY i.rank, i.job_id) AS place_in_line
    FROM in_key i LEFT JOIN key k ON k.queue = i.queue AND k.key = i.key
    WHERE i.place <= coalesce(k.room, i.place)
), picked AS MATERIALIZED (
    SELECT i.job_id, i.queue, i.key FROM in_line i JOIN line l ON l.name = i.queue
    WHERE i.place_in_line <= coalesce(l.room, i.place_in_line)
    ORDER BY (%(places)s::int[])[width_bucket(i.job_id, %(sorted)s::bigint[])], i.rank, i.job_id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM jobs_ready r WHERE r.job_id = ANY(ARRAY(SELECT p.job_id FROM picked p))
), laned AS (
    UPDATE jobs_ready r SET key = (SELECT c.key FROM candidate c WHERE c.job_id = r.job_id)
    WHERE r.job_id = ANY(ARRAY(
        SELECT c.job_id FROM candidate c JOIN line l ON l.name = c.queue AND l.keyed
        WHERE c.lane IS DISTINCT FROM c.key AND NOT EXISTS (SELECT 1 FROM picked p WHERE p.job_id = c.job_id)))
), line_started AS (
    UPDATE jobs_bucket b
    SET tokens = (SELECT l.tokens FROM line l WHERE l.name = b.queue)
                 - (SELECT count(*) FROM picked p WHERE p.queue = b.queue),
        refilled_at = (SELECT clock.now FROM clock)
    WHERE b.key = '' AND b.queue = ANY(ARRAY(
        SELECT p.queue FROM picked p JOIN line l ON l.name = p.queue AND l.rate IS NOT NULL))
), key_started AS (
    INSERT INTO jobs_bucket (queue, key, tokens, refilled_at)
    SELECT k.queue, k.key, k.tokens - n.taken, clock.now
    FROM clock, (SELECT p.queue, p.key, count(*) AS taken FROM picked p GROUP BY p.queue, p.key) n
    JOIN key k ON k.queue = n.queue AND k.key = n.key AND k.tokens IS NOT NULL
    ON CONFLICT (queue, key) DO UPDATE SET tokens = excluded.tokens, refilled_at = excluded.refilled_at
), batch AS (
    INSERT INTO jobs_claim (worker_id, jobs)
    SELECT %(worker)s::bigint, array_agg(p.job_id) FROM picked p HAVING count(*) > 0
    RETURNING id
), taken AS (
    UPDATE jobs_job j
    SET state = 'running', attempt = j.attempt + 1, worker_id = %(worker)s, started_at = clock_timestamp()
    WHERE j.id = ANY(ARRAY(SELECT p.job_id FROM picked p)) AND j.state = 'available'
    RETURNING j.id, j.kind, j.queue, j.attempt, j.max_attempts, j.payload::text, j.options::text, j.workflow_id,
              j.task
), permit AS (
    INSERT INTO jobs_permit (job_id, queue, key, attempt, worker_id)
    SELECT t.id, p.queue, p.key, t.attempt, %(worker)s::bigint FROM taken t JOIN picked p ON p.job_id = t.id
)
SELECT t.*, (SELECT batch.id FROM batch) FROM taken t
