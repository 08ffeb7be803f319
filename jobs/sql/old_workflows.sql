-- Workflows that ended long ago and hold no dead letter an operator still has to decide about.
SELECT w.id FROM jobs_workflow w
WHERE w.finished_at < clock_timestamp() - make_interval(secs => %(keep)s) AND w.active = 0 AND w.dead = 0
ORDER BY w.id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
