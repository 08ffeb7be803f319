-- Previews that nobody confirmed, an hour after they expired, and runs that ended long ago, with their items.
WITH old AS MATERIALIZED (
    SELECT id FROM jobs_deadletterrun
    WHERE (state = 'previewed' AND expires_at < clock_timestamp() - interval '1 hour')
       OR (state IN ('finished', 'stopped') AND finished_at < clock_timestamp() - make_interval(secs => %(keep)s))
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), items AS (
    DELETE FROM jobs_deadletteritem i USING old o WHERE i.run_id = o.id
)
DELETE FROM jobs_deadletterrun r USING old o WHERE r.id = o.id
