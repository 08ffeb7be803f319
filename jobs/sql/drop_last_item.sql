-- The one letter more that showed that not all of them fit.
DELETE FROM jobs_deadletteritem WHERE id = (SELECT max(id) FROM jobs_deadletteritem WHERE run_id = %(run)s)
