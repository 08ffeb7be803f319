-- Each queue with what waits in it, counted up to a cap by its own index ranges (with lanes of keys up to twice that), and how long the first in rank waits.
-- The first is found before its job is looked up: written as one join, stale statistics make the planner fetch the job
-- of every row of the queue and sort them (40,000 waiting jobs: 130 ms, and this runs every second).
SELECT q.name, q.paused_at IS NOT NULL,
       (SELECT count(*) FROM (
            (SELECT 1 FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NULL LIMIT %(cap)s + 1)
            UNION ALL
            (SELECT 1 FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NOT NULL LIMIT %(cap)s + 1)) capped),
       (SELECT extract(epoch FROM clock_timestamp() - j.ready_at)::float8 FROM jobs_job j
        WHERE j.id = jobs_first_ready(q.name))
FROM jobs_queue q ORDER BY q.name
