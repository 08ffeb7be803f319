-- Hold jobs whatever their state, in id order, and say what it is.
SELECT id, state FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR UPDATE
