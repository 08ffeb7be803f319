-- The ready rows of jobs that have just become available, ranked by their queue's ageing.
INSERT INTO jobs_ready (job_id, queue, kind, rank)
SELECT j.id, j.queue, j.kind, jobs_rank(j.ready_at, j.priority, q.ageing_seconds)
FROM jobs_job j JOIN jobs_queue q ON q.name = j.queue
WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'available'
