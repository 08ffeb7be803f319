-- What changes of limits and workers of an older version can leave behind, found by what the tables say now. A place is
-- free when its attempt does not run: both stand in one snapshot, so a running job never loses its place. Ready rows in
-- the lane of a key, in a queue that limits no keys, would be seen by nobody. A full bucket says nothing.
WITH stale AS (
    DELETE FROM jobs_permit p
    WHERE NOT EXISTS (SELECT 1 FROM jobs_job j WHERE j.id = p.job_id AND j.state = 'running' AND j.attempt = p.attempt
                                                 AND j.worker_id = p.worker_id)
    RETURNING p.id
), stray AS (
    UPDATE jobs_ready r SET key = NULL FROM jobs_queue q
    WHERE num_nonnulls(q.key_max_running, q.key_rate) = 0 AND r.queue = q.name AND r.key IS NOT NULL
    RETURNING r.job_id
), missing AS (
    INSERT INTO jobs_bucket (queue, key, tokens, refilled_at)
    SELECT q.name, '', coalesce(q.rate_burst, q.rate, 0), clock_timestamp() FROM jobs_queue q
    WHERE num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) > 0
      AND NOT EXISTS (SELECT 1 FROM jobs_bucket b WHERE b.queue = q.name AND b.key = '')
    ON CONFLICT (queue, key) DO NOTHING
    RETURNING id
), full_again AS (
    DELETE FROM jobs_bucket b USING jobs_queue q
    WHERE b.key <> '' AND q.name = b.queue
      AND (q.key_rate IS NULL
           OR jobs_tokens(b.tokens, b.refilled_at, q.key_rate, q.key_rate_seconds, q.key_rate_burst, clock_timestamp())
              >= coalesce(q.key_rate_burst, q.key_rate))
)
SELECT (SELECT count(*) FROM stale) + (SELECT count(*) FROM stray) + (SELECT count(*) FROM missing)
