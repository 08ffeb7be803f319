-- One row for the whole batch, from which rescue reads off the jobs of a dead worker.
INSERT INTO jobs_claim (worker_id, jobs) VALUES (%(worker)s, %(ids)s::bigint[]) RETURNING id
