-- Records of effects older than they are kept, oldest first. One whose job may still run again stays: it would repeat
-- its effect.
DELETE FROM jobs_effect e
USING (SELECT id, job_id FROM jobs_effect
       WHERE created_at < clock_timestamp() - make_interval(secs => %(keep)s)
       ORDER BY created_at LIMIT %(limit)s) old
WHERE e.id = old.id
  AND NOT EXISTS (SELECT 1 FROM jobs_job j WHERE j.id = old.job_id
                  AND j.state NOT IN ('completed', 'cancelled', 'discarded', 'skipped'))
