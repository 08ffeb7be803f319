-- Batches of which every job has ended. By primary key.
DELETE FROM jobs_claim WHERE id = ANY(%(ids)s::bigint[])
