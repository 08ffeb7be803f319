-- Idempotency keys that no longer count, a bounded number of them.
-- In a materialised CTE, since the planner may run a plain subquery again and again and delete more than the limit.
WITH old AS MATERIALIZED (
    SELECT id FROM jobs_idempotencykey WHERE expires_at < clock_timestamp()
    ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM jobs_idempotencykey k USING old WHERE k.id = old.id
