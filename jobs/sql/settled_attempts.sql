-- Which of these attempts the database has ended after all, though this worker never heard of the commit. While the
-- worker's id and the attempt still stand on a job that does not run, nobody else has had it since. A refunded attempt
-- (snooze, give back) has one less; recording it again would match nothing, so it counts as settled too.
SELECT j.id, u.attempt FROM jobs_job j
JOIN unnest(%(ids)s::bigint[], %(attempts)s::smallint[]) AS u(id, attempt) ON u.id = j.id
WHERE NOT (j.state = 'running' AND j.worker_id = %(worker)s AND j.attempt = u.attempt)
  AND j.worker_id = %(worker)s AND j.attempt IN (u.attempt, u.attempt - 1)
