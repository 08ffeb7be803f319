-- The first line of a batch whose commit nobody heard of, under the id that it had. It waits for a server that is still
-- busy with that commit. A new row: that one did not happen. The row as it stood: it did, with the whole batch. None: the
-- id is another line's, which a server may give out twice when it crashed before it had kept anything.
INSERT INTO jobs_logline AS l (id, job_id, attempt, at, level, line)
SELECT %(id)s::bigint, %(job)s::bigint, %(attempt)s::smallint, to_timestamp(%(at)s::float8), %(level)s::text, %(line)s::text
ON CONFLICT (id) DO UPDATE SET line = l.line
WHERE l.job_id = excluded.job_id AND l.attempt = excluded.attempt AND l.at = excluded.at AND l.line = excluded.line
RETURNING xmax = 0
