UPDATE notifications_epoch SET ticked_at = clock_timestamp()
