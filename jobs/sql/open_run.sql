-- A run begins, as a preview.
INSERT INTO jobs_deadletterrun (action, state, operator_id, operator_name, filters, total, truncated, digest, reason,
                                attempts, canary, why, done, refused, returned, undone, canary_passed, expires_at)
VALUES (%(action)s, 'previewed', %(operator)s, %(name)s, %(filters)s::jsonb, 0, false, '', '', 1, false, '',
        0, 0, 0, 0, false, clock_timestamp() + make_interval(secs => %(seconds)s))
RETURNING id
