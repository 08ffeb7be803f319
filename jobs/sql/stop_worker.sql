-- A worker process ends on purpose, and with it whatever still ran in it.
UPDATE jobs_workerprocess
SET state = 'stopped', stopped_at = clock_timestamp(), stats = %(stats)s::jsonb, lost_running = 0
WHERE id = %(worker)s AND state IN ('live', 'draining')
RETURNING name, hostname, pid
