-- Keep a workflow's counts in step with its jobs, and its state with the counts. Rows are locked in id order. `before`
-- lets the caller see that the state changed, and say so once.
WITH delta AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(active)s::int[], %(blocked)s::int[], %(dead)s::int[],
                         %(completed)s::int[], %(closed)s::int[]) AS u(id, active, blocked, dead, completed, closed)
), held AS MATERIALIZED (
    SELECT w.id, w.state FROM jobs_workflow w JOIN delta d ON d.id = w.id ORDER BY w.id FOR UPDATE OF w
), counted AS (
    UPDATE jobs_workflow w
    SET active = w.active + d.active, blocked = w.blocked + d.blocked, dead = w.dead + d.dead,
        completed = w.completed + d.completed, closed = w.closed + d.closed,
        state = CASE WHEN w.active + d.active > 0 THEN 'running'
                     WHEN w.completed + d.completed = w.total THEN 'completed'
                     WHEN w.cancelled_at IS NOT NULL THEN 'cancelled'
                     ELSE 'failed' END,
        finished_at = CASE WHEN w.active + d.active > 0 THEN NULL ELSE coalesce(w.finished_at, clock_timestamp()) END
    FROM delta d, held h WHERE w.id = d.id AND h.id = w.id
    RETURNING w.id, w.name, w.state, w.total, w.active, w.blocked, w.dead, w.completed, w.closed
)
SELECT c.id, c.name, h.state AS before, c.state, c.total, c.active, c.blocked, c.dead, c.completed, c.closed
FROM counted c JOIN held h ON h.id = c.id ORDER BY c.id
