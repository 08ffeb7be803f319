-- Jobs that have used up every attempt number the column holds: none is left for a replay.
SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) AND attempt >= 32000
