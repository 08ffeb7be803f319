-- Another payload for a dead letter that is about to be replayed.
UPDATE jobs_job SET payload = %(payload)s::jsonb WHERE id = %(job)s AND state = 'dead'
