-- A new priority is a new rank, in the row that workers read from; heaps follow at their next look.
WITH held AS MATERIALIZED (
    SELECT id, priority FROM jobs_job
    WHERE id = ANY(%(ids)s::bigint[]) AND state = ANY(%(states)s::text[]) ORDER BY id FOR UPDATE
), ranked AS (
    UPDATE jobs_ready r SET rank = jobs_rank(j.ready_at, %(priority)s::smallint, q.ageing_seconds)
    FROM held h JOIN jobs_job j ON j.id = h.id JOIN jobs_queue q ON q.name = j.queue
    WHERE r.job_id = h.id AND r.job_id = ANY(ARRAY(SELECT id FROM held))
)
UPDATE jobs_job j SET priority = %(priority)s FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, h.priority AS before, j.state
