-- The best-ranked ready jobs of each queue this worker serves (the named ones, or all; not the paused ones), for its
-- heap: one index range read a queue, no sort. Kinds this worker does not know are left for a worker that does.
SELECT r.job_id, r.rank
FROM jobs_queue q
CROSS JOIN LATERAL (
    SELECT r.job_id, r.rank FROM jobs_ready r
    WHERE r.queue = q.name AND r.kind = ANY(%(kinds)s::text[])
    ORDER BY r.rank, r.job_id
    LIMIT %(limit)s
) r
WHERE q.paused_at IS NULL AND (cardinality(%(names)s::text[]) = 0 OR q.name = ANY(%(names)s::text[]))
