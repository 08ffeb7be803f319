-- The queues this worker serves: their weights, which of them have limits, and which have rates among these. A handful of
-- rows, read with every poll.
SELECT q.name, q.weight, num_nonnulls(q.max_running, q.rate, q.key_max_running, q.key_rate) > 0,
       num_nonnulls(q.rate, q.key_rate) > 0
FROM jobs_queue q
WHERE cardinality(%(names)s::text[]) = 0 OR q.name = ANY(%(names)s::text[])
