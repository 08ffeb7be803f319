-- Jobs that were named and are no dead letters stand in the run as refused, with the state they are in.
INSERT INTO jobs_deadletteritem (run_id, job_id, fingerprint, state, reason)
SELECT %(run)s, n.id, '', 'refused', CASE WHEN j.id IS NULL THEN 'there is no such job' ELSE 'is ' || j.state END
FROM unnest(%(ids)s::bigint[]) AS n(id) LEFT JOIN jobs_job j ON j.id = n.id
WHERE NOT EXISTS (SELECT 1 FROM jobs_deadletteritem i WHERE i.run_id = %(run)s AND i.job_id = n.id)
ORDER BY n.id
