-- Before a queue's limits change: the row under which they are looked at, made where there is none. No claim uses them
-- up until this transaction ends. A new rate starts with a full burst.
INSERT INTO jobs_bucket (queue, key, tokens, refilled_at) VALUES (%(queue)s, '', %(tokens)s, clock_timestamp())
ON CONFLICT (queue, key) DO UPDATE SET tokens = least(jobs_bucket.tokens, excluded.tokens)
