-- The keys that somebody has, held until the end of the transaction: two submitters that both find a job ended must not
-- both follow it. A statement of its own, so that it sees what those have committed whom the insert waited for.
SELECT k.kind, k.key, k.scope, k.until > coalesce(%(now)s::timestamptz, clock_timestamp()), k.job_id, k.state,
       k.result::text, k.finished_at
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS u(kind, key)
JOIN jobs_uniquekey k ON k.key = u.key AND k.kind = u.kind
ORDER BY k.key, k.kind
FOR UPDATE OF k
