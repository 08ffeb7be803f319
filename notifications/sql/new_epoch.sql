-- All old rows are stamped with the id 3, which the new base tick 4:4: sees: they belong to no tick of the new epoch.
-- Rows written at the same time keep their real ids and come with the next tick. One statement, so all or nothing.
WITH gone AS (
    DELETE FROM notifications_tick
), stamped AS (
    UPDATE notifications_event SET xid = '3'
), epoch AS (
    INSERT INTO notifications_epoch (id, value, lineage)
    SELECT 1, %(value)s,
           (SELECT system_identifier FROM pg_control_system())
           || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
           || ':' || (SELECT oid FROM pg_database WHERE datname = current_database())
    ON CONFLICT (id) DO UPDATE SET value = excluded.value, lineage = excluded.lineage
)
INSERT INTO notifications_tick (id, snapshot)
SELECT coalesce(max(id), 0) + 1, '4:4:'::pg_snapshot FROM notifications_tick
