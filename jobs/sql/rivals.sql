-- The workers that take from the very same lanes as this one, itself among them. Not those that share some of them: these
-- would count others, divide by another number, and blocks would be left over that nobody looks for.
SELECT w.id FROM jobs_workerprocess w
WHERE w.state = 'live'
  AND w.kinds @> %(kinds)s::varchar[] AND w.kinds <@ %(kinds)s::varchar[]
  AND w.queues @> %(queues)s::varchar[] AND w.queues <@ %(queues)s::varchar[]
ORDER BY w.id
