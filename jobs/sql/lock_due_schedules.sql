-- The schedules whose slot has come, each locked by one worker only; the others skip it. Kinds this worker does not
-- know, and those it could not fill a moment ago, are left, slot and all, for a worker that can.
SELECT id, name, kind, payload::text, queue, priority, cron, timezone, misfire, catch_up_seconds, next_slot_at,
       clock_timestamp(), created_by_id
FROM jobs_schedule
WHERE paused_at IS NULL AND next_slot_at <= clock_timestamp() AND kind = ANY(%(kinds)s::text[])
  AND NOT (id = ANY(%(refused)s::bigint[]))
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
