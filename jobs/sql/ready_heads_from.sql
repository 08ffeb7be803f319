-- The best-ranked ready jobs of lanes that are known, from a rank on: what stands below it is not read (`jobs/heads.py`).
-- Paused kinds and queues, and queues with limits, are left out as in ready_heads.sql.
SELECT l.queue, l.kind, best.ids, best.ranks
FROM unnest(%(queues)s::text[], %(kinds)s::text[], %(begins)s::bigint[]) AS l(queue, kind, begin)
CROSS JOIN LATERAL (
    SELECT array_agg(h.job_id) AS ids, array_agg(h.rank) AS ranks FROM (
        SELECT r.job_id, r.rank FROM jobs_ready r
        WHERE r.queue = l.queue AND r.kind = l.kind AND r.key IS NULL AND r.rank >= l.begin
        ORDER BY r.rank, r.job_id
        LIMIT %(limit)s) h
) best
WHERE best.ids IS NOT NULL
  AND NOT (l.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
  AND EXISTS (SELECT 1 FROM jobs_queue q WHERE q.name = l.queue AND q.paused_at IS NULL
              AND num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) = 0)
