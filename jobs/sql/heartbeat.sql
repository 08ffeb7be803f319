-- One row per worker process, not per job. No row back means: declared lost, start anew.
UPDATE jobs_workerprocess
SET beat = beat + 1, heartbeat_at = clock_timestamp(), state = %(state)s, stats = %(stats)s::jsonb,
    lost_running = %(lost_running)s
WHERE id = %(worker)s AND state IN ('live', 'draining')
RETURNING beat
