-- How the canary fares.
SELECT state FROM jobs_job WHERE id = %(job)s
