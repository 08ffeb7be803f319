-- The workers that take from the same lanes as this one, itself among them.
SELECT w.id FROM jobs_workerprocess w
WHERE w.state = 'live' AND w.kinds && %(kinds)s::varchar[]
  AND (cardinality(w.queues) = 0 OR cardinality(%(queues)s::varchar[]) = 0 OR w.queues && %(queues)s::varchar[])
ORDER BY w.id
