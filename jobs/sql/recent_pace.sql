-- How many jobs of a queue completed lately and in how many seconds: what was submitted just before the first that still
-- waits is what was done last. A bounded walk down the primary key; no index knows when a job ended.
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(seen.finished_at)), 0)::float8
FROM (
    SELECT j.queue, j.state, j.finished_at FROM jobs_job j
    WHERE j.id < coalesce((SELECT jobs_first_ready(m.queue) FROM jobs_job m WHERE m.id = %(job)s), %(job)s)
    ORDER BY j.id DESC LIMIT 2000
) seen
WHERE seen.queue = (SELECT m.queue FROM jobs_job m WHERE m.id = %(job)s) AND seen.state = 'completed'
  AND seen.finished_at > clock_timestamp() - make_interval(secs => %(seconds)s)
