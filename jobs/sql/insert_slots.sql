-- A slot that exists already is not filled again: the unique key decides, not the lock.
INSERT INTO jobs_slot (schedule_id, at, job_id)
SELECT %(schedule)s, u.at, 0 FROM unnest(%(ats)s::timestamptz[]) AS u(at)
ORDER BY u.at
ON CONFLICT (schedule_id, at) DO NOTHING
RETURNING at
