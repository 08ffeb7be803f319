-- A worker process ends on purpose.
UPDATE jobs_workerprocess SET state = 'stopped', stopped_at = clock_timestamp(), stats = %(stats)s::jsonb
WHERE id = %(worker)s AND state IN ('live', 'draining')
RETURNING name, hostname, pid
