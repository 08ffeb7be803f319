-- Keep the newest lines of a job: find the id of the oldest one kept by an index walk, delete what is older.
DELETE FROM jobs_logline l
USING (SELECT u.job, (SELECT k.id FROM jobs_logline k WHERE k.job_id = u.job ORDER BY k.id DESC
                      OFFSET %(keep)s LIMIT 1) AS last
       FROM unnest(%(jobs)s::bigint[]) AS u(job)) cut
WHERE l.job_id = cut.job AND l.id <= cut.last
