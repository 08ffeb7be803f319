-- New payloads for jobs that wait, whose narrow rows the caller holds.
UPDATE jobs_job j SET payload = u.payload::jsonb
FROM unnest(%(ids)s::bigint[], %(payloads)s::text[]) AS u(id, payload)
WHERE j.id = u.id AND j.state IN ('blocked', 'scheduled', 'available', 'retryable')
RETURNING j.id
