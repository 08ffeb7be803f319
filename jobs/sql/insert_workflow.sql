-- One row; the counts are kept in step by move_counts.sql from here on.
INSERT INTO jobs_workflow (name, state, total, active, blocked, dead, completed, closed, created_by_id)
VALUES (%(name)s, 'running', %(total)s, %(active)s, %(blocked)s, 0, 0, 0, %(user)s::bigint)
RETURNING id
