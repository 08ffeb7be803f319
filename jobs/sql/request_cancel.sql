-- Ask the workers that run these jobs to stop them; the row lock on the job orders this before or after its end.
WITH held AS MATERIALIZED (
    SELECT id, kind, queue, workflow_id FROM jobs_job
    WHERE id = ANY(%(ids)s::bigint[]) AND state = 'running' ORDER BY id FOR UPDATE
), asked AS (
    INSERT INTO jobs_cancelrequest (job_id, reason) SELECT id, %(reason)s FROM held ON CONFLICT (job_id) DO NOTHING
)
SELECT id, kind, queue, workflow_id FROM held
