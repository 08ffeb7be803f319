-- The hot completion: heap-only updates behind the fence (job, attempt, worker, running). Rows that do not match are
-- not returned, and the caller counts them as lost.
UPDATE jobs_job j
SET state = 'completed', result = u.result::jsonb, finished_at = clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[], %(results)s::text[]) AS u(id, attempt, result)
WHERE j.id = u.id AND j.attempt = u.attempt AND j.worker_id = %(worker)s AND j.state = 'running'
RETURNING j.id
