-- The clock that leases, due times and slots go by: microseconds since 1970.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
