-- The usual submission, one job that may start at once, with its ready row and its event: one short statement, since what
-- the general one (insert_jobs) spends on many jobs and all their cases is most of its time for one. No row comes back
-- when the queue does not exist yet; then nothing was written.
WITH job AS (
    INSERT INTO jobs_job (kind, queue, state, priority, attempt, max_attempts, payload, options, created_at,
                          scheduled_at, ready_at, task, created_by_id)
    SELECT %(kind)s, q.name, 'available', %(priority)s::smallint, 0, %(max_attempts)s::smallint, %(payload)s::jsonb,
           %(options)s::jsonb, clock.now, clock.now, clock.now, '', %(user)s::bigint
    FROM (SELECT clock_timestamp() AS now) clock, jobs_queue q WHERE q.name = %(queue)s
    RETURNING id, queue, kind, priority, options, ready_at
), ready AS (
    INSERT INTO jobs_ready (job_id, queue, kind, rank, key)
    SELECT job.id, job.queue, job.kind, jobs_rank(job.ready_at, job.priority, q.ageing_seconds),
           CASE WHEN num_nonnulls(q.key_max_running, q.key_rate) > 0 THEN job.options ->> 'concurrency_key' END
    FROM job JOIN jobs_queue q ON q.name = job.queue
)
SELECT job.id, notifications_append(
    ARRAY['queue:' || job.queue, 'job:' || job.id],
    (%(before)s::text || job.id || %(after)s::text)::json
)
FROM job
