-- The queue began or ceased to limit keys: its waiting jobs go to the lanes of their keys, or back to those of their kinds.
UPDATE jobs_ready r SET key = CASE WHEN %(keyed)s THEN j.options ->> 'concurrency_key' END
FROM jobs_job j
WHERE r.queue = %(queue)s AND j.id = r.job_id
  AND r.key IS DISTINCT FROM CASE WHEN %(keyed)s THEN j.options ->> 'concurrency_key' END
