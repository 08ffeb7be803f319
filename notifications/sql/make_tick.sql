-- A tick only when there are rows that the last snapshot does not see: ids from its xmax on, or those that were still
-- running then. Written so (and not as "not visible, from xmin on") because one old transaction holds xmin back and the
-- scan from there would grow with every row written meanwhile. The snapshot is the statement's own, taken after the last
-- tick was committed, so it never goes back. No row to insert, no transaction id used.
WITH last AS (
    SELECT id, snapshot FROM notifications_tick ORDER BY id DESC LIMIT 1
), made AS (
    INSERT INTO notifications_tick (id, snapshot)
    SELECT last.id + 1, pg_current_snapshot()
    FROM last
    WHERE EXISTS (SELECT FROM notifications_event WHERE xid >= pg_snapshot_xmax(last.snapshot))
       OR EXISTS (SELECT FROM notifications_event
                  WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(last.snapshot))))
    RETURNING id
)
SELECT (SELECT id FROM made), EXISTS (SELECT FROM last)
