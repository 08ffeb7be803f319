-- Walks from the oldest tick over what is about to be deleted, not back over everything that is kept.
SELECT id FROM notifications_tick WHERE at >= %(before)s ORDER BY id LIMIT 1
