-- One row for a whole batch. xid and at come from the column defaults, so no writer can get them wrong.
INSERT INTO notifications_event (topics, items) VALUES (%(topics)s::text[], %(items)s::json)
