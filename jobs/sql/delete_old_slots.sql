-- Slots filled long ago. A schedule never looks further back than its next slot, which lies after all of these.
DELETE FROM jobs_slot s
USING jobs_schedule c
WHERE c.id = s.schedule_id AND s.created_at < clock_timestamp() - make_interval(secs => %(keep)s)
  AND s.at < c.next_slot_at
