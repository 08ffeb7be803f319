-- The ready rows of jobs that have just become available, ranked by their queue's ageing; in the lanes of their keys
-- where the queue limits keys.
INSERT INTO jobs_ready (job_id, queue, kind, rank, key)
SELECT j.id, j.queue, j.kind, jobs_rank(j.ready_at, j.priority, q.ageing_seconds),
       CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0 THEN j.options ->> 'concurrency_key' END
FROM jobs_job j JOIN jobs_queue q ON q.name = j.queue
WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'available'
