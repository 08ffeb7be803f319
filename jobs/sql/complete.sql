-- The hot completion: heap-only updates behind the fence (job, attempt, worker, running). Rows that do not match stay as
-- they are, and the caller counts them as lost. How many matched is all that is said when all of them did, because
-- reading a row a job costs the worker more. Results that are all NULL come as one NULL.
WITH done AS (
    UPDATE jobs_job j
    SET state = 'completed', result = u.result::jsonb, finished_at = clock_timestamp()
    FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[], %(results)s::text[]) AS u(id, attempt, result)
    WHERE j.id = u.id AND j.attempt = u.attempt AND j.worker_id = %(worker)s AND j.state = 'running'
    RETURNING j.id
)
SELECT CASE WHEN count(*) < cardinality(%(ids)s::bigint[]) THEN coalesce(array_agg(id), '{}') END FROM done
