-- Behind the row lock of lock_due_schedules.sql.
UPDATE jobs_schedule SET next_slot_at = %(next)s, last_slot_at = coalesce(%(last)s, last_slot_at) WHERE id = %(schedule)s
