-- Is nobody else working on this key? The lock ends with the transaction, and so with the connection of whoever died.
SELECT pg_try_advisory_xact_lock(%(number)s::bigint)
