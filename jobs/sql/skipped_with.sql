-- What was skipped with the discards of a run, and what each of those jobs waits for.
SELECT i.job_id, d.parent_id FROM jobs_deadletteritem i JOIN jobs_dependency d ON d.child_id = i.job_id
WHERE i.run_id = %(run)s AND i.state = 'skipped'
ORDER BY i.job_id, d.parent_id
