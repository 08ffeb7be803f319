-- When the schedules that are not paused have their next slots, for the wheel. A handful of rows by a partial
-- index. Without the kinds this worker does not know and what it could not fill: these would be due all the time.
SELECT id, (extract(epoch FROM next_slot_at) * 1000000)::bigint AS at_us FROM jobs_schedule
WHERE paused_at IS NULL AND next_slot_at <= to_timestamp(%(until)s::float8) AND kind = ANY(%(kinds)s::text[])
  AND NOT (id = ANY(%(refused)s::bigint[]))
ORDER BY next_slot_at
LIMIT %(limit)s
