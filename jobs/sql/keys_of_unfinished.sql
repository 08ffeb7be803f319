-- The unique keys that these jobs hold while they are unfinished, newest job first. From the options: the key's row may be
-- another job's by now.
SELECT j.id, j.kind, j.options -> 'unique_key' ->> 'key' FROM jobs_job j
WHERE j.id = ANY(%(ids)s::bigint[]) AND j.options -> 'unique_key' ->> 'scope' = 'unfinished'
ORDER BY j.id DESC
