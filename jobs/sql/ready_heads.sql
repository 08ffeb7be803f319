-- The best-ranked ready jobs of all queues this worker serves (the named ones, or all; not the paused ones), for its heap:
-- one index range read a queue, the best of them all kept. The limit holds for the whole, so that what is not returned
-- ranks after everything that is: with so many of each queue, a worker that had used up one queue's best went on with
-- another's worse, and held as many as there are queues. Kinds this worker does not know are left for one that does.
SELECT best.job_id, best.rank
FROM jobs_queue q
CROSS JOIN LATERAL (
    SELECT r.job_id, r.rank FROM jobs_ready r
    WHERE r.queue = q.name AND r.kind = ANY(%(kinds)s::text[])
    ORDER BY r.rank, r.job_id
    LIMIT %(limit)s
) best
WHERE q.paused_at IS NULL AND (cardinality(%(names)s::text[]) = 0 OR q.name = ANY(%(names)s::text[]))
ORDER BY best.rank, best.job_id
LIMIT %(limit)s
