-- Keep the newest lines of a job: find the id of the newest one to go by an index walk, delete it and what is older.
-- Returns how many went, for each job that lost any.
WITH cut AS MATERIALIZED (
    SELECT u.job, (SELECT k.id FROM jobs_logline k WHERE k.job_id = u.job ORDER BY k.id DESC
                   OFFSET %(keep)s LIMIT 1) AS last
    FROM unnest(%(jobs)s::bigint[]) AS u(job)
), gone AS (
    DELETE FROM jobs_logline l USING cut WHERE l.job_id = cut.job AND l.id <= cut.last
    RETURNING l.job_id
)
SELECT job_id, count(*) FROM gone GROUP BY job_id
