-- What an operator did to many jobs: a row for each, alike but for the job.
INSERT INTO jobs_operatoraction (actor_id, actor_name, action, target_type, target_id, reason, before, after)
SELECT %(actor)s, %(name)s, %(action)s, 'job', u.id::text, %(reason)s, %(before)s::jsonb, %(after)s::jsonb
FROM unnest(%(ids)s::bigint[]) AS u(id)
