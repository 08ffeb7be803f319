-- Write down which job each new slot got.
UPDATE jobs_slot s SET job_id = u.job
FROM unnest(%(ats)s::timestamptz[], %(jobs)s::bigint[]) AS u(at, job)
WHERE s.schedule_id = %(schedule)s AND s.at = u.at
