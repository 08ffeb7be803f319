-- Cluster, timeline and database: a restore, a failover or a copy changes at least one of them.
SELECT lineage = (SELECT system_identifier FROM pg_control_system())
       || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
       || ':' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM notifications_epoch
