-- Hold jobs that are dead, in id order. From here on nobody else replays or discards them.
SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) AND state = 'dead' ORDER BY id FOR UPDATE
