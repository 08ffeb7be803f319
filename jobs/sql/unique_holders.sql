-- The jobs that hold keys, after the keys were locked: what has ended stays ended
-- (an undo of a discard takes the key first), and what ends a moment later had not
-- when this looked, so the jobs need no lock.
SELECT id, state, kind, queue, workflow_id, result::text, finished_at FROM jobs_job WHERE id = ANY(%(ids)s::bigint[])
