-- Every blocked job below the given ones, however deep: what can never run once they have ended without completing.
WITH RECURSIVE below(id) AS (
    SELECT d.child_id FROM jobs_dependency d WHERE d.parent_id = ANY(%(ids)s::bigint[])
    UNION
    SELECT d.child_id FROM jobs_dependency d JOIN below b ON d.parent_id = b.id
)
SELECT j.id FROM below b JOIN jobs_job j ON j.id = b.id WHERE j.state = 'blocked' ORDER BY j.id
