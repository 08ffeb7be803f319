-- The edges of a new workflow; the unique key refuses a duplicate edge, a constraint an edge to itself.
INSERT INTO jobs_dependency (parent_id, child_id, condition)
SELECT parent, child, 'completed' FROM unnest(%(parents)s::bigint[], %(children)s::bigint[]) AS u(parent, child)
