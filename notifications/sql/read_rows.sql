-- The rows of tick t: not visible in the tick before (p), visible in t. Not visible in p means an id from its xmax on,
-- or one that was running then: two index ranges, never a scan from an old xmin. A row that nobody asked for comes
-- without its items, so they are not read from TOAST, but it counts against the limit: a page's work is bounded.
SELECT t.id, e.id, e.at,
       CASE WHEN %(topics)s::text[] IS NULL OR e.topics && %(topics)s::text[] THEN e.items::text END
FROM notifications_tick AS t
JOIN notifications_tick AS p ON p.id = t.id - 1
CROSS JOIN LATERAL (
    SELECT id, at, topics, items FROM notifications_event
    WHERE xid >= pg_snapshot_xmax(p.snapshot) AND xid < pg_snapshot_xmax(t.snapshot)
      AND pg_visible_in_snapshot(xid, t.snapshot)
    UNION ALL
    SELECT id, at, topics, items FROM notifications_event
    WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.snapshot)))
      AND pg_visible_in_snapshot(xid, t.snapshot)
) AS e
WHERE t.id >= %(tick)s AND t.id <= %(upto)s AND (t.id > %(tick)s OR e.id >= %(row)s)
ORDER BY t.id, e.id
LIMIT %(limit)s
