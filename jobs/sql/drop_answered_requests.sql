-- Requests to stop a job that will not run any more. The state is asked again: a job that was waiting a moment ago may be
-- running again, and then its request must reach the new worker.
DELETE FROM jobs_cancelrequest c USING jobs_job j
WHERE c.job_id = ANY(%(ids)s::bigint[]) AND j.id = c.job_id
  AND j.state IN ('completed', 'cancelled', 'dead', 'discarded', 'skipped')
