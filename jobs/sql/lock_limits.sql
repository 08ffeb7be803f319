-- The limits of these queues, for this transaction alone. Whoever comes second goes without: waiting here would hold up
-- what is not limited, and a moment later it is free. What they stand at is read by the next statement, whose snapshot
-- is younger than this lock: in this one, the last holder's claims might not be seen.
SELECT b.queue FROM jobs_bucket b
WHERE b.queue = ANY(%(queues)s::text[]) AND b.key = ''
ORDER BY b.queue
FOR UPDATE SKIP LOCKED
