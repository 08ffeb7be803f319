-- Records of effects older than they are kept, oldest first. One whose job may still run again stays, since it would repeat
-- its effect, and must not count against the limit: a thousand old dead letters would keep everything behind them.
-- In a materialised CTE, since the planner may run a plain subquery again and again and delete more than the limit.
WITH old AS MATERIALIZED (
    SELECT e.id FROM jobs_effect e
    WHERE e.created_at < clock_timestamp() - make_interval(secs => %(keep)s)
      AND NOT EXISTS (SELECT 1 FROM jobs_job j WHERE j.id = e.job_id
                      AND j.state NOT IN ('completed', 'cancelled', 'discarded', 'skipped'))
    ORDER BY e.created_at LIMIT %(limit)s
)
DELETE FROM jobs_effect e USING old WHERE e.id = old.id
