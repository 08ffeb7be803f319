-- What a worker counted until it heard that it had been declared lost: the writes that were refused are among it.
UPDATE jobs_workerprocess SET stats = %(stats)s::jsonb WHERE id = %(worker)s AND state = 'lost'
