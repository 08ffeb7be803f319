-- Queues come into being with their first job. The NOT EXISTS keeps the usual case free of writes and of burnt locks.
INSERT INTO jobs_queue (name, description, ageing_seconds)
SELECT name, '', 60.0 FROM unnest(%(names)s::text[]) AS u(name)
WHERE NOT EXISTS (SELECT 1 FROM jobs_queue q WHERE q.name = u.name)
ORDER BY name
ON CONFLICT (name) DO NOTHING
