-- What changes of a run while it goes on. One that is done at once was not confirmed after its end, which is the clock's
-- time when it was locked.
UPDATE jobs_deadletterrun
SET state = %(state)s, reason = %(reason)s, attempts = %(attempts)s, canary = %(canary)s, per_minute = %(per_minute)s,
    done = %(done)s, refused = %(refused)s, returned = %(returned)s, undone = %(undone)s, canary_job = %(canary_job)s,
    canary_passed = %(canary_passed)s, canary_waived = %(canary_waived)s, next_at = %(next_at)s,
    looked_at = %(looked_at)s, why = %(why)s, finished_at = %(finished_at)s,
    confirmed_at = coalesce(confirmed_at, least(clock_timestamp(), %(finished_at)s::timestamptz))
WHERE id = %(run)s
