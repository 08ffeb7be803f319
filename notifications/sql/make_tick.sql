-- A tick only when there are rows that the last snapshot does not see: ids from its xmax on, or those that were still
-- running then. Written so (and not as "not visible, from xmin on") because one old transaction holds xmin back and the
-- scan from there would grow with every row written meanwhile. Both look-ups take the next entry of the index: as a
-- plain EXISTS the planner expects a third of all rows to match, and reads the whole table whenever there is no news.
-- The snapshot is the statement's own, taken after the last tick was committed, so it never goes back.
WITH last AS (
    SELECT id, snapshot FROM notifications_tick ORDER BY id DESC LIMIT 1
), made AS (
    INSERT INTO notifications_tick (id, snapshot)
    SELECT last.id + 1, pg_current_snapshot()
    FROM last
    WHERE (SELECT xid FROM notifications_event ORDER BY xid DESC LIMIT 1) >= pg_snapshot_xmax(last.snapshot)
       OR EXISTS (
           SELECT FROM pg_snapshot_xip(last.snapshot) AS running
           WHERE running = (SELECT e.xid FROM notifications_event AS e
                            WHERE e.xid >= running ORDER BY e.xid LIMIT 1))
    RETURNING id
)
SELECT (SELECT id FROM made), EXISTS (SELECT FROM last)
