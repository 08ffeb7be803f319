-- Groups without letters that nobody looks after, long after the last one.
DELETE FROM jobs_deadlettergroup WHERE fingerprint IN (
    SELECT g.fingerprint FROM jobs_deadlettergroup g
    WHERE g.count = 0 AND g.owner_id IS NULL AND g.note = ''
      AND g.last_seen < clock_timestamp() - make_interval(secs => %(keep)s)
      AND NOT EXISTS (SELECT 1 FROM jobs_deadlettertally t WHERE t.fingerprint = g.fingerprint)
    ORDER BY g.last_seen, g.fingerprint LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
