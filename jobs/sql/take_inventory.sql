-- A queue gets limits while jobs of it run: they hold places too. No claim is under way (the caller locked jobs_claim),
-- so none is missed; what ends at this moment leaves a place that tidy_limits.sql sweeps away.
INSERT INTO jobs_permit (job_id, queue, key, attempt, worker_id)
SELECT DISTINCT j.id, j.queue, j.options ->> 'concurrency_key', j.attempt, j.worker_id
FROM jobs_claim c CROSS JOIN LATERAL unnest(c.jobs) AS claimed(id) JOIN jobs_job j ON j.id = claimed.id
WHERE j.queue = %(queue)s AND j.state = 'running'
  AND NOT EXISTS (SELECT 1 FROM jobs_permit p WHERE p.job_id = j.id)
