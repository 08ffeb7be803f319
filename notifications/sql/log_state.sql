-- Two index look-ups and one row. min() over a long deleted prefix stays cheap once vacuum has passed.
SELECT e.value, extract(epoch FROM clock_timestamp() - e.ticked_at),
       (SELECT min(id) FROM notifications_tick), (SELECT max(id) FROM notifications_tick)
FROM notifications_epoch AS e
