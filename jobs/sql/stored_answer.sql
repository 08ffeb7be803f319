-- The answer this key got, if it still counts. After the lock, in a statement of its own, so that it sees what whoever
-- had the lock before has committed.
SELECT fingerprint, status, location, answer FROM jobs_idempotencykey
WHERE user_id = %(user)s AND route = %(route)s AND key = %(key)s
  AND expires_at > coalesce(%(now)s::timestamptz, clock_timestamp())
