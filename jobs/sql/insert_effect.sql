-- Record an effect. The unique key is the last guard: where somebody was first, nothing is returned.
INSERT INTO jobs_effect (key, scope, job_id, kind, attempt, result)
VALUES (%(key)s, %(scope)s, %(job)s, %(kind)s, %(attempt)s, %(result)s::jsonb)
ON CONFLICT (key, scope) DO NOTHING
RETURNING id
