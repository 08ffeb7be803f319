-- A worker process begins; its id is half of the fence of everything it claims.
INSERT INTO jobs_workerprocess (name, hostname, pid, queues, kinds, concurrency, strict, state, beat, stats)
VALUES (%(name)s, %(hostname)s, %(pid)s, %(queues)s::text[], %(kinds)s::text[], %(concurrency)s, %(strict)s, 'live', 0, '{}')
RETURNING id
