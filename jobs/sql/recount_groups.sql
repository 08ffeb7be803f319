-- Groups whose count is not that of their letters: put right, and told with what they said before. Letters, changes that are
-- not added yet and counts are of one snapshot; a group whose count was changed since (fold_tallies.sql) is left to the next time.
WITH letter AS MATERIALIZED (
    SELECT fingerprint, count(*) AS number FROM jobs_deadletter GROUP BY fingerprint
), pending AS MATERIALIZED (
    SELECT fingerprint, sum(change) AS number FROM jobs_deadlettertally GROUP BY fingerprint
), wrong AS MATERIALIZED (
    SELECT g.fingerprint, g.count, coalesce(l.number, 0) - coalesce(p.number, 0) AS counted
    FROM jobs_deadlettergroup g LEFT JOIN letter l ON l.fingerprint = g.fingerprint
    LEFT JOIN pending p ON p.fingerprint = g.fingerprint
    WHERE g.count <> coalesce(l.number, 0) - coalesce(p.number, 0)
)
UPDATE jobs_deadlettergroup g SET count = w.counted
FROM wrong w WHERE g.fingerprint = w.fingerprint AND g.count = w.count
RETURNING g.fingerprint, w.count, g.count
