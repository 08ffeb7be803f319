-- Declare a worker lost: if its beat is still the one that was watched, and is old by the database's clock too; or, with a
-- pid, if that was its process, which is known to have ended. What still runs in it is told by the row with which it begins
-- anew, if it does.
UPDATE jobs_workerprocess SET state = 'lost', stopped_at = clock_timestamp(), lost_running = 0
WHERE id = %(worker)s AND state IN ('live', 'draining')
  AND CASE WHEN %(pid)s::int IS NULL
           THEN beat = %(beat)s::bigint AND heartbeat_at < clock_timestamp() - make_interval(secs => %(lease)s::float8)
           ELSE pid = %(pid)s::int AND hostname = %(hostname)s::text END
RETURNING name, hostname, pid
