-- The unique keys that these jobs hold are free; what they hold no longer is left alone. In the order in which submitters
-- lock keys: one that follows such a job just now has the key's row, and its key is not touched.
WITH held AS MATERIALIZED (
    SELECT k.id FROM jobs_uniquekey k
    WHERE k.job_id = ANY(%(ids)s::bigint[])
      AND (k.scope = 'forever' OR k.until > clock_timestamp()
           OR k.scope = 'unfinished' AND EXISTS (
               SELECT 1 FROM jobs_job j
               WHERE j.id = k.job_id AND j.state NOT IN ('completed', 'cancelled', 'discarded', 'skipped')))
    ORDER BY k.key, k.kind FOR UPDATE
)
DELETE FROM jobs_uniquekey k USING held h WHERE k.id = h.id
RETURNING k.job_id, k.kind, k.key, k.scope
