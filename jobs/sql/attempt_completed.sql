-- Did this attempt complete its job? Asked after a commit whose answer never came. The row is locked, so that a
-- transaction that is still about to commit or to end is waited for instead of being taken for undone.
WITH held AS MATERIALIZED (
    SELECT state, attempt, worker_id FROM jobs_job WHERE id = %(job)s FOR SHARE
)
SELECT 1 FROM held WHERE state = 'completed' AND attempt = %(attempt)s AND worker_id = %(worker)s
