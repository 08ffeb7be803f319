-- What becomes due next, for the worker's timing wheel: an index range, from where the last read ended (`since`, `after`)
-- up to the wheel's horizon.
SELECT s.job_id, (extract(epoch FROM s.at) * 1000000)::bigint AS at_us FROM jobs_scheduled s
WHERE (s.at, s.job_id) > (to_timestamp(%(since)s::float8), %(after)s::bigint) AND s.at <= to_timestamp(%(until)s::float8)
ORDER BY s.at, s.job_id
LIMIT %(limit)s
