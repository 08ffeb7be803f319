-- Hold the jobs that these workers still run, all of them before anything else is touched and in id order. An old batch
-- may name jobs that another worker runs by now: those are that worker's, who may be ending them in another order.
SELECT id FROM jobs_job
WHERE id = ANY(%(ids)s::bigint[]) AND worker_id = ANY(%(workers)s::bigint[]) AND state = 'running'
ORDER BY id
FOR UPDATE
