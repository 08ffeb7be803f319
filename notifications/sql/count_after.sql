-- How much a resume would read, counted no further than the bound. Rows still running at p are few: left out.
SELECT count(*) FROM (
    SELECT FROM notifications_event
    WHERE xid >= (SELECT pg_snapshot_xmax(snapshot) FROM notifications_tick WHERE id = %(tick)s)
    LIMIT %(limit)s
) AS behind
