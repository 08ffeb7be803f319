-- The queues a worker may take from now: the named ones, or all where none is named, without the paused ones.
SELECT name FROM jobs_queue
WHERE paused_at IS NULL AND (cardinality(%(names)s::text[]) = 0 OR name = ANY(%(names)s::text[]))
ORDER BY name
