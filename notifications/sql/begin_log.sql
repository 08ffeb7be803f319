-- Snapshot 4:4: sees no transaction that ever ran (3 is the first possible id), so the first tick holds all rows.
WITH epoch AS (
    INSERT INTO notifications_epoch (id, value, lineage)
    SELECT 1, %(value)s,
           (SELECT system_identifier FROM pg_control_system())
           || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
           || ':' || (SELECT oid FROM pg_database WHERE datname = current_database())
    ON CONFLICT DO NOTHING
)
INSERT INTO notifications_tick (id, snapshot)
SELECT 0, '4:4:'::pg_snapshot
WHERE NOT EXISTS (SELECT FROM notifications_tick)
ON CONFLICT DO NOTHING
