-- A stretch of the oldest jobs by id, which is the order of creation: which of them may be deleted. The caller walks on
-- from the last id, so that jobs that stay (dead letters, far schedules) are passed over once a round, not searched.
SELECT id, created_at,
       workflow_id IS NULL AND state IN ('completed', 'cancelled', 'discarded', 'skipped')
       AND finished_at < clock_timestamp() - make_interval(secs => %(keep)s) AS deletable,
       created_at >= clock_timestamp() - make_interval(secs => %(keep)s) AS young
FROM jobs_job WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
