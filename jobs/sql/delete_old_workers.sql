-- Worker processes that ended long ago and hold no claim any more.
DELETE FROM jobs_workerprocess w
WHERE w.state IN ('stopped', 'lost') AND w.stopped_at < clock_timestamp() - make_interval(secs => %(keep)s)
  AND NOT EXISTS (SELECT 1 FROM jobs_claim c WHERE c.worker_id = w.id)
