-- Many jobs that may start at once and differ in nothing but their payloads, which is what most bulks are: no columns as
-- arrays, no cases, one rank for all. The payloads come as one JSON array, which needs no quoting on the way and is parsed
-- once. Without an ORDER BY the ids follow the array: there is one row of `place`, so the only plan is a nested loop.
WITH place AS MATERIALIZED (
    SELECT q.name AS queue, clock.now, jobs_rank(clock.now, %(priority)s::smallint, q.ageing_seconds) AS rank,
           CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0
                THEN %(options)s::jsonb ->> 'concurrency_key' END AS key
    FROM (SELECT clock_timestamp() AS now) clock, jobs_queue q WHERE q.name = %(queue)s
), job AS (
    INSERT INTO jobs_job (kind, queue, state, priority, attempt, max_attempts, payload, options, created_at,
                          scheduled_at, ready_at, task, created_by_id)
    SELECT %(kind)s, place.queue, 'available', %(priority)s::smallint, 0, %(max_attempts)s::smallint, given.payload,
           %(options)s::jsonb, place.now, place.now, place.now, '', %(user)s::bigint
    FROM place, jsonb_array_elements(%(payloads)s::jsonb) AS given(payload)
    RETURNING id
), ready AS (
    INSERT INTO jobs_ready (job_id, queue, kind, rank, key)
    SELECT job.id, place.queue, %(kind)s, place.rank, place.key FROM place, job
)
SELECT array_agg(job.id), notifications_append(
    ARRAY['queue:' || %(queue)s, 'job:*'],
    (%(before)s::text || string_agg(job.id::text, ',') || %(after)s::text)::json
)
FROM job
