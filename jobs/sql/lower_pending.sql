-- Parents completed: count down their children. The rows are locked in id order first, because two workers that finish
-- parents of the same children would deadlock in any other. Returns the children that wait for nobody any more.
WITH hit AS MATERIALIZED (
    SELECT d.child_id, count(*) AS n FROM jobs_dependency d
    WHERE d.parent_id = ANY(%(parents)s::bigint[]) GROUP BY d.child_id
), locked AS MATERIALIZED (
    SELECT b.job_id, h.n FROM jobs_blocked b JOIN hit h ON h.child_id = b.job_id
    WHERE b.job_id = ANY(ARRAY(SELECT child_id FROM hit)) ORDER BY b.job_id FOR UPDATE OF b
), counted AS (
    UPDATE jobs_blocked b SET pending = b.pending - l.n FROM locked l
    WHERE b.job_id = l.job_id AND b.job_id = ANY(ARRAY(SELECT job_id FROM locked))
    RETURNING b.job_id, b.pending
)
SELECT job_id FROM counted WHERE pending = 0 ORDER BY job_id
