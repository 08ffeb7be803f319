-- Batches whose worker lives no more: lost ones, and those that were written by a worker after it was declared lost.
SELECT c.id, c.worker_id, c.jobs FROM jobs_claim c JOIN jobs_workerprocess w ON w.id = c.worker_id
WHERE w.state IN ('lost', 'stopped')
ORDER BY c.id
LIMIT %(limit)s
FOR UPDATE OF c SKIP LOCKED
