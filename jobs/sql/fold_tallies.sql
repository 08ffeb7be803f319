-- Add what came and went to the counts of the groups, and forget the rows that said so. One worker at a time (the lock
-- lasts for the transaction); whoever asks meanwhile sees the counts with the rows, or without both.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(%(lock)s) AS mine
), picked AS MATERIALIZED (
    SELECT id FROM jobs_deadlettertally WHERE (SELECT mine FROM turn) ORDER BY id LIMIT %(limit)s FOR UPDATE
), taken AS (
    DELETE FROM jobs_deadlettertally t USING picked p WHERE t.id = p.id
    RETURNING t.fingerprint, t.kind, t.change, t.at
), sums AS MATERIALIZED (
    SELECT fingerprint, sum(change) AS change, max(at) FILTER (WHERE change > 0) AS seen,
           coalesce(array_agg(DISTINCT kind) FILTER (WHERE change > 0), '{}') AS kinds
    FROM taken GROUP BY fingerprint
)
INSERT INTO jobs_deadlettergroup AS g
    (fingerprint, error_class, message, kinds, count, first_seen, last_seen, note)
SELECT s.fingerprint, coalesce(l.error_class, ''), left(coalesce(l.message, ''), 500), s.kinds, s.change,
       coalesce(l.died_at, clock_timestamp()), coalesce(s.seen, 'epoch'), ''
FROM sums s LEFT JOIN LATERAL (
    -- A group can only be missing where it was forgotten the moment its next letter came.
    SELECT d.error_class, d.message, d.died_at FROM jobs_deadletter d WHERE d.fingerprint = s.fingerprint
    ORDER BY d.died_at LIMIT 1
) l ON true
ORDER BY s.fingerprint
ON CONFLICT (fingerprint) DO UPDATE
SET count = g.count + excluded.count, last_seen = greatest(g.last_seen, excluded.last_seen),
    kinds = CASE WHEN g.kinds @> excluded.kinds OR cardinality(g.kinds) >= 20 THEN g.kinds
                 ELSE ARRAY(SELECT DISTINCT k FROM unnest(g.kinds || excluded.kinds) AS k ORDER BY k LIMIT 20) END
