-- The jobs of a workflow by its partial index.
SELECT id FROM jobs_job WHERE workflow_id = %(workflow)s ORDER BY id
