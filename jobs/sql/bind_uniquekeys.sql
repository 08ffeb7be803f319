-- The keys belong to these jobs from now on, whoever had them before.
UPDATE jobs_uniquekey k
SET job_id = u.job, scope = u.scope, created_at = clock.now, until = clock.now + make_interval(secs => u.seconds),
    state = '', result = NULL, finished_at = NULL
FROM (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now) AS clock,
     unnest(%(kinds)s::text[], %(keys)s::text[], %(jobs)s::bigint[], %(scopes)s::text[], %(seconds)s::float8[])
         AS u(kind, key, job, scope, seconds)
WHERE k.key = u.key AND k.kind = u.kind
