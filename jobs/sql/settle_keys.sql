-- Before jobs that ended are deleted: a unique key that still counts keeps how its job ended, the others go. In the order
-- in which submitters lock keys; one that follows a job just now has the key's row, and it is left to them.
WITH held AS MATERIALIZED (
    SELECT id, job_id, scope = 'forever' OR until > clock_timestamp() AS counts
    FROM jobs_uniquekey WHERE job_id = ANY(%(ids)s::bigint[])
    ORDER BY key, kind FOR UPDATE
), kept AS (
    UPDATE jobs_uniquekey k SET state = j.state, result = j.result, finished_at = j.finished_at
    FROM held h JOIN jobs_job j ON j.id = h.job_id
    WHERE k.id = h.id AND h.counts
)
DELETE FROM jobs_uniquekey k USING held h WHERE k.id = h.id AND h.counts IS NOT TRUE
