-- One run, held: whoever confirms, pauses, advances or undoes it does so alone.
SELECT id, action, state, operator_id, operator_name, reason, attempts, canary, per_minute, total, digest, done, refused,
       returned, undone, canary_job, canary_passed, canary_waived, next_at, looked_at, why, expires_at, finished_at,
       coalesce(%(now)s::timestamptz, clock_timestamp())
FROM jobs_deadletterrun WHERE id = %(run)s FOR UPDATE
