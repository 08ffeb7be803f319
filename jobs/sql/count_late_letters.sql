-- Letters of a set that nobody has confirmed yet whose jobs' deadline has passed. Read by the items of the run.
SELECT count(*)
FROM jobs_deadletteritem i JOIN jobs_job j ON j.id = i.job_id
WHERE i.run_id = %(run)s AND i.state = 'chosen' AND j.state = 'dead' AND j.options ? 'deadline'
  AND jobs_deadline(j.options, j.created_at) <= clock_timestamp()
