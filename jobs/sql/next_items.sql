-- The next letters of a run, oldest death first.
SELECT job_id, died_at FROM jobs_deadletteritem WHERE run_id = %(run)s AND state = 'chosen' ORDER BY id LIMIT %(limit)s
