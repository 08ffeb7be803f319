-- All that is ready for this worker, when that is no more than `limit`: what an idle worker does when a bell rings. Where
-- every ready job finds a free thread there is no order to decide, so nothing has to be read first (ready_heads) and told
-- by the worker (append_event): one statement, one round trip, one commit. When more is ready it takes nothing and says so
-- with a row without a job. Lanes as in ready_heads.sql, the take as in claim.sql; what is said there holds here.
WITH head AS MATERIALIZED (
    SELECT front.job_id
    FROM jobs_queue q
    CROSS JOIN LATERAL (
        WITH RECURSIVE waiting AS (
            (SELECT r.kind FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NULL ORDER BY r.kind DESC LIMIT 1)
            UNION ALL
            SELECT (SELECT r.kind FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NULL AND r.kind < w.kind
                    ORDER BY r.kind DESC LIMIT 1)
            FROM waiting w WHERE w.kind IS NOT NULL
        )
        SELECT w.kind FROM waiting w
        WHERE w.kind = ANY(%(kinds)s::text[]) AND NOT (w.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
    ) lane
    CROSS JOIN LATERAL (
        SELECT r.job_id FROM jobs_ready r
        WHERE r.queue = q.name AND r.kind = lane.kind AND r.key IS NULL
        ORDER BY r.rank, r.job_id
        LIMIT %(limit)s::bigint + 1
    ) front
    WHERE q.paused_at IS NULL AND num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) = 0
      AND (cardinality(%(names)s::text[]) = 0 OR q.name = ANY(%(names)s::text[]))
    LIMIT %(limit)s::bigint + 1
), picked AS MATERIALIZED (
    SELECT r.job_id
    FROM jobs_ready r
    WHERE r.job_id = ANY(ARRAY(SELECT h.job_id FROM head h)) AND (SELECT count(*) FROM head) <= %(limit)s::bigint
      -- Declared lost and not told yet: whatever it took would be given back at once, a loss to each job.
      AND NOT EXISTS (SELECT 1 FROM jobs_workerprocess w WHERE w.id = %(worker)s AND w.state IN ('lost', 'stopped'))
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs_ready r WHERE r.job_id = ANY(ARRAY(SELECT p.job_id FROM picked p))
), batch AS (
    INSERT INTO jobs_claim (worker_id, jobs)
    SELECT %(worker)s::bigint, array_agg(p.job_id) FROM picked p HAVING count(*) > 0
    RETURNING id
), taken AS (
    UPDATE jobs_job j
    SET state = 'running', attempt = j.attempt + 1, worker_id = %(worker)s, started_at = clock_timestamp()
    WHERE j.id = ANY(ARRAY(SELECT p.job_id FROM picked p)) AND j.state = 'available'
    RETURNING j.id, j.kind, j.queue, j.attempt, j.max_attempts, j.payload::text, j.options::text, j.workflow_id, j.task
)
SELECT t.*, (SELECT batch.id FROM batch), (
    SELECT notifications_append(
        ARRAY(SELECT 'queue:' || queue FROM taken UNION SELECT 'workflow:' || workflow_id FROM taken
              WHERE workflow_id IS NOT NULL UNION SELECT 'job:' || id FROM taken),
        (SELECT json_agg(json_build_array(
            'job.started',
            array_remove(ARRAY['job:' || id, 'queue:' || queue, 'workflow:' || workflow_id], NULL),
            json_build_object('job', id, 'kind', kind, 'queue', queue, 'workflow', workflow_id, 'state', 'running',
                              'attempt', attempt)))
         FROM taken))::text)
FROM taken t
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
WHERE (SELECT count(*) FROM head) > %(limit)s::bigint
