-- In how many seconds a rate of these queues, or of one of their keys, lets the next job start; null where none is used up.
-- A queue's rate that nobody waits for fills up once and is not told again. Of keys those for which something waits, at most
-- `keys` of them: what is beyond is found by the poll.
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
)
SELECT min(w.wait) FROM (
    SELECT (1 - t.tokens) * q.rate_seconds / q.rate AS wait
    FROM clock, jobs_queue q JOIN jobs_bucket b ON b.queue = q.name AND b.key = ''
    CROSS JOIN LATERAL (
        SELECT jobs_tokens(b.tokens, b.refilled_at, q.rate, q.rate_seconds, q.rate_burst, clock.now) AS tokens
    ) t
    WHERE q.name = ANY(%(names)s::text[]) AND q.rate IS NOT NULL AND q.paused_at IS NULL AND t.tokens < 1
    UNION ALL
    (SELECT (1 - t.tokens) * q.key_rate_seconds / q.key_rate
     FROM clock, jobs_queue q JOIN jobs_bucket b ON b.queue = q.name AND b.key <> ''
     CROSS JOIN LATERAL (
         SELECT jobs_tokens(b.tokens, b.refilled_at, q.key_rate, q.key_rate_seconds, q.key_rate_burst, clock.now) AS tokens
     ) t
     WHERE q.name = ANY(%(names)s::text[]) AND q.key_rate IS NOT NULL AND q.paused_at IS NULL AND t.tokens < 1
       AND EXISTS (SELECT 1 FROM jobs_ready r WHERE r.queue = q.name AND r.key = b.key)
     LIMIT %(keys)s)
) w
