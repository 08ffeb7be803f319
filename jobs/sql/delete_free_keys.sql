-- Unique keys whose window is over, a bounded number of them. What a submitter holds is left for the next round.
-- In a materialised CTE, since the planner may run a plain subquery again and again and delete more than the limit.
WITH old AS MATERIALIZED (
    SELECT id FROM jobs_uniquekey WHERE until < clock_timestamp()
    ORDER BY until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM jobs_uniquekey k USING old WHERE k.id = old.id
