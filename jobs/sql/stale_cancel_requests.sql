-- Requests whose job does not run any more (it ended, failed or was rescued before it could answer).
SELECT c.job_id, c.reason FROM jobs_cancelrequest c JOIN jobs_job j ON j.id = c.job_id
WHERE j.state <> 'running'
LIMIT 500
