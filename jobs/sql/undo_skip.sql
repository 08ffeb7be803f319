-- Jobs that were skipped wait for their parents again. The caller holds them and their parents, so the number of those
-- that have not completed stands still.
WITH gone AS (
    DELETE FROM jobs_closed WHERE job_id = ANY(%(ids)s::bigint[])
), waiting AS (
    INSERT INTO jobs_blocked (job_id, pending)
    SELECT d.child_id, count(*) FROM jobs_dependency d JOIN jobs_job p ON p.id = d.parent_id
    WHERE d.child_id = ANY(%(ids)s::bigint[]) AND p.state <> 'completed'
    GROUP BY d.child_id
), mark AS (
    UPDATE jobs_deadletteritem SET state = 'undone' WHERE run_id = %(run)s AND job_id = ANY(%(ids)s::bigint[])
)
UPDATE jobs_job j SET state = 'blocked', finished_at = NULL
WHERE j.id = ANY(%(ids)s::bigint[]) AND j.state = 'skipped'
RETURNING j.id, j.kind, j.queue, j.workflow_id
