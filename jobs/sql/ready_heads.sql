-- The best-ranked ready jobs of every lane this worker may take from, for its heaps. A lane is a kind in a queue and has
-- an index range of its own, so kinds this worker does not know, and paused ones, are stepped over, however many jobs of
-- them stand in front (300,000 of them once cost each look 70 to 110 ms). The kinds that wait are found by jumping from
-- one to the next, backwards: at the end of a lane stand the newest rows, at its head those just deleted.
-- A queue with limits is looked at by limited_heads.sql. One row a lane: reading a row a job costs the worker more.
-- Of `limit` jobs of a lane it gives those in this worker's part (`jobs/division.py`), blocks of 64 ids, with the first
-- rank and id of all, and the number that was read.
SELECT q.name, lane.kind, best.ids, best.ranks, best.head, best.first, best.seen
FROM jobs_queue q
CROSS JOIN LATERAL (
    WITH RECURSIVE waiting AS (
        (SELECT r.kind FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NULL ORDER BY r.kind DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT r.kind FROM jobs_ready r WHERE r.queue = q.name AND r.key IS NULL AND r.kind < w.kind
                ORDER BY r.kind DESC LIMIT 1)
        FROM waiting w WHERE w.kind IS NOT NULL
    )
    SELECT w.kind FROM waiting w
    WHERE w.kind = ANY(%(kinds)s::text[]) AND NOT (w.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
) lane
CROSS JOIN LATERAL (
    SELECT array_agg(h.job_id) FILTER (WHERE h.mine) AS ids,
           array_agg(h.rank) FILTER (WHERE h.mine) AS ranks,
           min(h.rank) AS head, (array_agg(h.job_id))[1] AS first, count(*) AS seen
    FROM (
        SELECT r.job_id, r.rank, mod(r.job_id >> 6, %(parts)s::bigint) = %(place)s::bigint AS mine
        FROM jobs_ready r
        WHERE r.queue = q.name AND r.kind = lane.kind AND r.key IS NULL
        ORDER BY r.rank, r.job_id
        LIMIT %(limit)s) h
) best
WHERE best.seen > 0 AND q.paused_at IS NULL AND num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) = 0
  AND (cardinality(%(names)s::text[]) = 0 OR q.name = ANY(%(names)s::text[]))
