-- Jobs of a run that died again of the error they were replayed for. Read from the newest letters by their time of death,
-- a minute further back than the last look, since a death is seen when its transaction commits.
WITH news AS MATERIALIZED (
    SELECT d.job_id, d.fingerprint, d.died_at FROM jobs_deadletter d
    WHERE d.died_at >= %(since)s::timestamptz - interval '60 seconds'
)
UPDATE jobs_deadletteritem i SET state = 'returned', reason = 'died again of the same error'
FROM news n
WHERE i.run_id = %(run)s AND i.job_id = n.job_id AND i.state = 'done' AND i.fingerprint = n.fingerprint
  AND n.died_at > i.died_at
RETURNING i.job_id
