-- Take the keys that nobody has. Whoever inserts the same key at the same moment waits here for this transaction and
-- then finds it taken, or takes it if this one is rolled back: the unique index decides, never a look before. In the
-- order of the keys, so that two submissions of the same keys do not wait for each other. `bind_uniquekeys` names the job.
INSERT INTO jobs_uniquekey (kind, key, scope, job_id, state)
SELECT u.kind, u.key, 'unfinished', 0, ''
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS u(kind, key)
ORDER BY u.key, u.kind
ON CONFLICT (key, kind) DO NOTHING
RETURNING kind, key
