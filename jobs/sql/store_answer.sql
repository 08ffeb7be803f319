-- Keep an answer in the transaction of what it names; over one that has expired. No row back: somebody else's counts.
INSERT INTO jobs_idempotencykey (user_id, route, key, fingerprint, status, location, answer, created_at, expires_at)
SELECT %(user)s, %(route)s, %(key)s, %(fingerprint)s, %(status)s, %(location)s, %(answer)s, clock.now,
       clock.now + make_interval(secs => %(keep)s)
FROM (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now) AS clock
ON CONFLICT (user_id, route, key) DO UPDATE
SET fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location,
    answer = excluded.answer, created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE jobs_idempotencykey.expires_at <= excluded.created_at
RETURNING id
