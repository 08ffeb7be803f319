-- Before an operator's move touches anything else: hold the jobs that run. A worker that ends a job holds it first and
-- its children's rows and its workflow's after it. In id order.
SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) AND state = 'running' ORDER BY id FOR UPDATE
