-- A queue comes into being with its first job, or when an operator makes it; with the defaults that insert_jobs.sql gives.
INSERT INTO jobs_queue (name, description, ageing_seconds) VALUES (%(queue)s, '', 60.0) ON CONFLICT (name) DO NOTHING
