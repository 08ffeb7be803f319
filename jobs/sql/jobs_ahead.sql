-- How many jobs of its queue stand before a job that is available, and how many of them in the lane of its own key; counted
-- up to a cap lane by lane: in each kind, and in each key, the jobs before it are one index range.
WITH RECURSIVE me AS MATERIALIZED (
    SELECT r.job_id, r.queue, r.rank, r.key FROM jobs_ready r WHERE r.job_id = %(job)s
), kinds AS (
    (SELECT r.kind FROM jobs_ready r WHERE r.queue = (SELECT queue FROM me) AND r.key IS NULL
     ORDER BY r.kind DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT r.kind FROM jobs_ready r WHERE r.queue = (SELECT queue FROM me) AND r.key IS NULL
              AND r.kind < k.kind ORDER BY r.kind DESC LIMIT 1)
    FROM kinds k WHERE k.kind IS NOT NULL
), keys AS (
    (SELECT r.key FROM jobs_ready r WHERE r.queue = (SELECT queue FROM me) AND r.key IS NOT NULL ORDER BY r.key LIMIT 1)
    UNION ALL
    SELECT (SELECT r.key FROM jobs_ready r WHERE r.queue = (SELECT queue FROM me) AND r.key > k.key ORDER BY r.key LIMIT 1)
    FROM keys k WHERE k.key IS NOT NULL
)
SELECT count(*), count(*) FILTER (WHERE counted.mine) FROM (
    (SELECT false AS mine FROM kinds k CROSS JOIN me CROSS JOIN LATERAL (
        SELECT 1 FROM jobs_ready r
        WHERE r.queue = me.queue AND r.kind = k.kind AND r.key IS NULL AND (r.rank, r.job_id) < (me.rank, me.job_id)
        LIMIT %(cap)s) ahead LIMIT %(cap)s)
    UNION ALL
    (SELECT k.key = me.key FROM (SELECT key FROM keys WHERE key IS NOT NULL LIMIT %(cap)s) k CROSS JOIN me CROSS JOIN LATERAL (
        SELECT 1 FROM jobs_ready r
        WHERE r.queue = me.queue AND r.key = k.key AND (r.rank, r.job_id) < (me.rank, me.job_id)
        LIMIT %(cap)s) ahead LIMIT %(cap)s)
) counted
