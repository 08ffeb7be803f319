-- The results of a job's parents by task name, for the handler's context.
SELECT p.task, p.result::text FROM jobs_dependency d JOIN jobs_job p ON p.id = d.parent_id
WHERE d.child_id = %(job)s ORDER BY p.id
