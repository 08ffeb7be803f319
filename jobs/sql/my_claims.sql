-- After a commit whose outcome is unknown: what the database thinks this worker holds.
SELECT c.id, j.id, j.kind, j.queue, j.attempt, j.max_attempts, j.workflow_id, j.task
FROM jobs_claim c JOIN jobs_job j ON j.id = ANY(c.jobs)
WHERE c.worker_id = %(worker)s AND NOT (c.id = ANY(%(known)s::bigint[]))
  AND j.worker_id = %(worker)s AND j.state = 'running'
ORDER BY j.id
