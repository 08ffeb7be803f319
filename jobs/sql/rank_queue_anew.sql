-- The queue's ageing changed: every waiting job of it gets the rank that follows.
UPDATE jobs_ready r SET rank = jobs_rank(j.ready_at, j.priority, %(ageing)s::float8)
FROM jobs_job j WHERE r.queue = %(queue)s AND j.id = r.job_id
