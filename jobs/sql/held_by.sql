-- What these workers hold at this moment, and the first few of it. A claim names its jobs until all of them have ended, and
-- one that was given back may stand in two.
SELECT count(*), (array_agg(h.id ORDER BY h.id))[1:%(named)s::int]
FROM (
    SELECT DISTINCT j.id
    FROM jobs_claim c CROSS JOIN LATERAL unnest(c.jobs) AS claimed(id) JOIN jobs_job j ON j.id = claimed.id
    WHERE c.worker_id = ANY(%(workers)s::bigint[]) AND j.state = 'running' AND j.worker_id = c.worker_id
    LIMIT %(cap)s
) h
