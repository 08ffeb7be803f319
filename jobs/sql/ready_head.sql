-- The best-ranked ready jobs of one queue, for the worker's heap: an index range read, no sort. Kinds this worker does
-- not know are left for a worker that does.
SELECT r.job_id, r.rank FROM jobs_ready r
WHERE r.queue = %(queue)s AND r.kind = ANY(%(kinds)s::text[])
ORDER BY r.rank, r.job_id
LIMIT %(limit)s
