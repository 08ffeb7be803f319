-- The heads of queues with limits: of each only as many as it has room for, and of each key likewise, so that what is
-- used up costs a count and stands in nobody's way. An offer, no promise: claim_limited.sql decides under the lock.
-- `cut`: the lane has more, which the queue's room alone keeps back; should there be more room in a moment, what other
-- lanes offer must not go before it.
-- Keys are found by jumping from one to the next, at most `keys` of them a look, beginning after the one in `afters`:
-- where more keys wait, looks take turns through them.
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), open AS MATERIALIZED (
    SELECT s.* FROM (
        SELECT q.name, asked.after, q.key_max_running, q.key_rate, q.key_rate_seconds, q.key_rate_burst,
               least(%(limit)s::bigint,
                     q.max_running - (SELECT count(*) FROM jobs_permit p WHERE p.queue = q.name),
                     floor(jobs_tokens(b.tokens, b.refilled_at, q.rate, q.rate_seconds, q.rate_burst, clock.now))::bigint
               ) AS room
        FROM clock, unnest(%(names)s::text[], %(afters)s::text[]) AS asked(name, after)
        JOIN jobs_queue q ON q.name = asked.name JOIN jobs_bucket b ON b.queue = q.name AND b.key = ''
        WHERE q.paused_at IS NULL
    ) s WHERE s.room > 0
)
SELECT o.name, lane.kind, best.ids, best.ranks, false, cardinality(best.ids) >= o.room AS cut
FROM open o
CROSS JOIN LATERAL (
    WITH RECURSIVE waiting AS (
        (SELECT r.kind FROM jobs_ready r WHERE r.queue = o.name AND r.key IS NULL ORDER BY r.kind DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT r.kind FROM jobs_ready r WHERE r.queue = o.name AND r.key IS NULL AND r.kind < w.kind
                ORDER BY r.kind DESC LIMIT 1)
        FROM waiting w WHERE w.kind IS NOT NULL
    )
    SELECT w.kind FROM waiting w
    WHERE w.kind = ANY(%(kinds)s::text[]) AND NOT (w.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
) lane
CROSS JOIN LATERAL (
    SELECT array_agg(h.job_id) AS ids, array_agg(h.rank) AS ranks FROM (
        SELECT r.job_id, r.rank FROM jobs_ready r
        WHERE r.queue = o.name AND r.kind = lane.kind AND r.key IS NULL
        ORDER BY r.rank, r.job_id
        LIMIT o.room) h
) best
WHERE best.ids IS NOT NULL
UNION ALL
SELECT o.name, '=' || lane.key, best.ids, best.ranks, lane.last,
       cardinality(best.ids) >= o.room AND coalesce(mine.room > o.room, true)
FROM open o
CROSS JOIN LATERAL (
    WITH RECURSIVE waiting AS (
        (SELECT r.key FROM jobs_ready r WHERE r.queue = o.name AND r.key > o.after ORDER BY r.key LIMIT 1)
        UNION ALL
        SELECT (SELECT r.key FROM jobs_ready r WHERE r.queue = o.name AND r.key > w.key ORDER BY r.key LIMIT 1)
        FROM waiting w WHERE w.key IS NOT NULL
    )
    SELECT w.key, row_number() OVER () = %(keys)s AS last FROM waiting w WHERE w.key IS NOT NULL LIMIT %(keys)s
) lane
LEFT JOIN jobs_bucket b ON b.queue = o.name AND b.key = lane.key
CROSS JOIN LATERAL (
    SELECT least(
        o.key_max_running - (SELECT count(*) FROM jobs_permit p WHERE p.queue = o.name AND p.key = lane.key),
        floor(jobs_tokens(b.tokens, b.refilled_at, o.key_rate, o.key_rate_seconds, o.key_rate_burst,
                          (SELECT now FROM clock)))::bigint) AS room
) mine
CROSS JOIN LATERAL (
    SELECT array_agg(h.job_id) AS ids, array_agg(h.rank) AS ranks FROM (
        SELECT r.job_id, r.rank FROM jobs_ready r
        WHERE r.queue = o.name AND r.key = lane.key AND r.kind = ANY(%(kinds)s::text[])
          AND NOT (r.kind = ANY(ARRAY(SELECT p.kind FROM jobs_pausedkind p)))
        ORDER BY r.rank, r.job_id
        LIMIT greatest(0, least(o.room, mine.room))) h
) best
WHERE best.ids IS NOT NULL OR lane.last
