-- Each queue with what waits in it, counted up to a cap by its own index range, and how long the first in rank waits.
SELECT q.name, q.paused_at IS NOT NULL,
       (SELECT count(*) FROM (SELECT 1 FROM jobs_ready r WHERE r.queue = q.name LIMIT %(cap)s + 1) capped),
       (SELECT extract(epoch FROM clock_timestamp() - j.ready_at)::float8
        FROM jobs_ready r JOIN jobs_job j ON j.id = r.job_id
        WHERE r.queue = q.name ORDER BY r.rank, r.job_id LIMIT 1)
FROM jobs_queue q ORDER BY q.name
