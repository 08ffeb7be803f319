-- Count the set and sum it up: the digest is what the operator confirms.
WITH item AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE state = 'chosen') AS total, count(*) FILTER (WHERE state = 'refused') AS refused,
           encode(sha256(convert_to(coalesce(string_agg(
               job_id || ' ' || extract(epoch FROM died_at), E'\n' ORDER BY job_id
           ) FILTER (WHERE state = 'chosen'), ''), 'UTF8')), 'hex') AS digest
    FROM jobs_deadletteritem WHERE run_id = %(run)s
)
UPDATE jobs_deadletterrun r
SET total = item.total, refused = item.refused, digest = item.digest, truncated = %(truncated)s
FROM item WHERE r.id = %(run)s
