-- Jobs that were skipped with discarded ones, for the undo.
INSERT INTO jobs_deadletteritem (run_id, job_id, fingerprint, state, reason, done_at)
SELECT %(run)s, u.id, '', 'skipped', '', clock_timestamp() FROM unnest(%(ids)s::bigint[]) AS u(id)
ON CONFLICT (run_id, job_id) DO NOTHING
