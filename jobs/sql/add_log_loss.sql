-- Count lines that are gone, and return the totals. Locks in id order.
INSERT INTO jobs_logloss (job_id, over_limit, unsent)
SELECT job, over_limit, unsent
FROM unnest(%(jobs)s::bigint[], %(over_limits)s::bigint[], %(unsents)s::bigint[]) AS u(job, over_limit, unsent)
ORDER BY job
ON CONFLICT (job_id) DO UPDATE
SET over_limit = jobs_logloss.over_limit + excluded.over_limit, unsent = jobs_logloss.unsent + excluded.unsent
RETURNING job_id, over_limit, unsent
