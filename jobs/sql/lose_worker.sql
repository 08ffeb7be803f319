-- Declare a worker lost, if its beat is still the one that was watched and is old by the database's clock too.
-- What still runs in it is told by the row with which it begins anew, if it does.
UPDATE jobs_workerprocess SET state = 'lost', stopped_at = clock_timestamp(), lost_running = 0
WHERE id = %(worker)s AND beat = %(beat)s AND state IN ('live', 'draining')
  AND heartbeat_at < clock_timestamp() - make_interval(secs => %(lease)s)
RETURNING name, hostname, pid
