-- Before a queue's limits change: the row under which they are looked at, made where there is none. No claim uses them
-- up until this transaction ends. A new rate starts with a full burst, a changed one with what is left of the old one by
-- now: the time until now must not count at the new rate.
INSERT INTO jobs_bucket (queue, key, tokens, refilled_at) VALUES (%(queue)s, '', %(burst)s, clock_timestamp())
ON CONFLICT (queue, key) DO UPDATE
SET tokens = least(excluded.tokens, coalesce(
        jobs_tokens(jobs_bucket.tokens, jobs_bucket.refilled_at, %(rate)s::int, %(seconds)s::float8, %(most)s::int,
                    excluded.refilled_at), excluded.tokens)),
    refilled_at = excluded.refilled_at
