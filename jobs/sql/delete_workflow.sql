-- Only when its jobs are gone: the foreign key refuses it otherwise.
DELETE FROM jobs_workflow WHERE id = %(workflow)s
