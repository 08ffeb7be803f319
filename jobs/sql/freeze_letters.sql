-- Freeze the set: which letters, and by the time of death which letter of each job. Oldest first, one more than a run
-- takes, so that the caller knows. NULL: not asked for; the values stand in the text, so the planner leaves those out.
INSERT INTO jobs_deadletteritem (run_id, job_id, fingerprint, died_at, state, reason)
SELECT %(run)s, d.job_id, d.fingerprint, d.died_at, 'chosen', ''
FROM jobs_deadletter d
WHERE (%(ids)s::bigint[] IS NULL OR d.job_id = ANY(%(ids)s::bigint[]))
  AND (%(kind)s::text IS NULL OR d.kind = %(kind)s)
  AND (%(queue)s::text IS NULL OR d.queue = %(queue)s)
  AND (%(fingerprint)s::text IS NULL OR d.fingerprint = %(fingerprint)s)
  AND (%(error_class)s::text IS NULL OR d.error_class = %(error_class)s)
  AND (%(died_after)s::timestamptz IS NULL OR d.died_at >= %(died_after)s)
  AND (%(died_before)s::timestamptz IS NULL OR d.died_at < %(died_before)s)
  AND (%(workflow)s::bigint IS NULL
       OR d.job_id IN (SELECT j.id FROM jobs_job j WHERE j.workflow_id = %(workflow)s))
ORDER BY d.died_at, d.job_id
LIMIT %(limit)s
