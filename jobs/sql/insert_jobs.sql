-- Insert many jobs and what they wait for, in one statement. Ids come from the sequence in the order given (`ord`), so
-- that the caller can match them. A queue comes into being with its first job, in the same statement: the join does not
-- see it yet, so a missing one counts with the defaults it gets here. The NOT EXISTS keeps the usual case free of writes.
WITH clock AS (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now
), input AS MATERIALIZED (
    SELECT nextval('jobs_job_id_seq') AS id, u.*,
           coalesce(u.at, clock.now) AS starts,
           CASE WHEN u.pending > 0 THEN 'blocked' WHEN u.at > clock.now THEN 'scheduled' ELSE 'available' END AS state
    FROM clock, unnest(
        %(kinds)s::text[], %(queues)s::text[], %(priorities)s::smallint[], %(max_attempts)s::smallint[],
        %(payloads)s::text[], %(options)s::text[], %(ats)s::timestamptz[], %(tasks)s::text[], %(pendings)s::int[]
    ) WITH ORDINALITY AS u(kind, queue, priority, max_attempts, payload, options, at, task, pending, ord)
    ORDER BY u.ord
), queue AS (
    INSERT INTO jobs_queue (name, description, ageing_seconds)
    SELECT DISTINCT i.queue, '', 60.0::float8 FROM input i
    WHERE NOT EXISTS (SELECT 1 FROM jobs_queue q WHERE q.name = i.queue)
    ORDER BY 1
    ON CONFLICT (name) DO NOTHING
), job AS (
    INSERT INTO jobs_job (id, kind, queue, state, priority, attempt, max_attempts, payload, options, created_at,
                          scheduled_at, ready_at, workflow_id, task, created_by_id)
    SELECT id, kind, queue, state, priority, 0, max_attempts, payload::jsonb, options::jsonb, clock.now,
           starts, CASE WHEN state = 'available' THEN clock.now END, %(workflow)s::bigint, task, %(user)s::bigint
    FROM input, clock
), ready AS (
    INSERT INTO jobs_ready (job_id, queue, kind, rank, key)
    SELECT i.id, i.queue, i.kind,
           jobs_rank(clock.now, i.priority, CASE WHEN q.name IS NULL THEN 60.0 ELSE q.ageing_seconds END),
           CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0 THEN i.options::jsonb ->> 'concurrency_key' END
    FROM clock, input i LEFT JOIN jobs_queue q ON q.name = i.queue
    WHERE i.state = 'available'
), scheduled AS (
    INSERT INTO jobs_scheduled (job_id, at, state)
    SELECT id, at, 'scheduled' FROM input WHERE state = 'scheduled'
), blocked AS (
    INSERT INTO jobs_blocked (job_id, pending)
    SELECT id, pending FROM input WHERE state = 'blocked'
)
SELECT id, state FROM input ORDER BY ord
