-- The best-ranked ready jobs of lanes that are known, from a rank and an id on: what stands before is not read (`jobs/heads.py`).
-- Paused kinds and queues, queues with limits, and other workers' parts are left out as in ready_heads.sql.
SELECT l.queue, l.kind, best.ids, best.ranks, best.head, best.first, best.seen
FROM unnest(%(queues)s::text[], %(kinds)s::text[], %(ranks)s::bigint[], %(firsts)s::bigint[]) AS l(queue, kind, rank, first)
CROSS JOIN LATERAL (
    SELECT array_agg(h.job_id) FILTER (WHERE h.mine) AS ids,
           array_agg(h.rank) FILTER (WHERE h.mine) AS ranks,
           min(h.rank) AS head, (array_agg(h.job_id))[1] AS first, count(*) AS seen
    FROM (
        SELECT r.job_id, r.rank, mod(r.job_id >> 6, %(parts)s::bigint) = %(place)s::bigint AS mine
        FROM jobs_ready r
        WHERE r.queue = l.queue AND r.kind = l.kind AND r.key IS NULL
          AND (r.rank, r.job_id) >= (l.rank, l.first)
        ORDER BY r.rank, r.job_id
        LIMIT %(limit)s) h
) best
WHERE best.seen > 0
  AND NOT (l.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
  AND EXISTS (SELECT 1 FROM jobs_queue q WHERE q.name = l.queue AND q.paused_at IS NULL
              AND num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) = 0)
