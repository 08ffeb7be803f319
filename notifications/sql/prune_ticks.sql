DELETE FROM notifications_tick
WHERE id IN (SELECT id FROM notifications_tick WHERE id < %(base)s ORDER BY id LIMIT %(limit)s)
