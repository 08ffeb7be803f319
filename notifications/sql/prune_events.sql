-- `floor` moves with the batches, so that a batch does not walk over the dead rows of the ones before it.
WITH old AS MATERIALIZED (
    SELECT id FROM notifications_event
    WHERE id > %(floor)s AND at < %(before)s
      AND pg_visible_in_snapshot(xid, (SELECT snapshot FROM notifications_tick WHERE id = %(base)s))
    ORDER BY id LIMIT %(limit)s
), gone AS (
    DELETE FROM notifications_event WHERE id IN (SELECT id FROM old)
)
SELECT count(*), max(id) FROM old
