-- Before letters go: keep each with its run, and with it what an undo needs of the job.
UPDATE jobs_deadletteritem i
SET state = 'done', done_at = coalesce(%(now)s::timestamptz, clock_timestamp()),
    kept = jsonb_build_object('letter', to_jsonb(d), 'job', jsonb_build_object(
        'max_attempts', j.max_attempts, 'finished_at', j.finished_at, 'ready_at', j.ready_at,
        'started_at', j.started_at, 'options', j.options) || CASE WHEN %(payload)s THEN jsonb_build_object('payload', j.payload)
                                            ELSE '{}'::jsonb END)
FROM jobs_deadletter d JOIN jobs_job j ON j.id = d.job_id
WHERE i.run_id = %(run)s AND i.job_id = d.job_id AND d.job_id = ANY(%(ids)s::bigint[])
