-- Waiting jobs go to another queue, with a rank by its ageing and into its lanes. The rows they wait in are held already.
WITH held AS MATERIALIZED (
    SELECT id, queue FROM jobs_job
    WHERE id = ANY(%(ids)s::bigint[]) AND state = ANY(%(states)s::text[]) AND queue <> %(queue)s ORDER BY id FOR UPDATE
), ranked AS (
    UPDATE jobs_ready r
    SET queue = q.name, rank = jobs_rank(j.ready_at, j.priority, q.ageing_seconds),
        key = CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0 THEN j.options ->> 'concurrency_key' END
    FROM held h JOIN jobs_job j ON j.id = h.id JOIN jobs_queue q ON q.name = %(queue)s
    WHERE r.job_id = h.id
)
UPDATE jobs_job j SET queue = %(queue)s FROM held h WHERE j.id = h.id
RETURNING j.id, j.kind, j.queue, j.workflow_id, h.queue AS before, j.state
