-- One runner of a key at a time, also before there is a row to lock. Ends with the transaction, and with its connection.
SELECT pg_advisory_xact_lock(%(lock)s)
