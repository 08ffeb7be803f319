-- Before an operator's move touches jobs that wait: hold the rows they wait in. Workers go from these rows to the job
-- (claim, promotion, release), so going from the job to the row deadlocked with them. Only jobs returned here may be
-- moved next: one that came to wait after this looked has a row that nobody holds. In id order, table by table.
WITH ready AS MATERIALIZED (
    SELECT job_id FROM jobs_ready WHERE job_id = ANY(%(ids)s::bigint[]) ORDER BY job_id FOR UPDATE
), scheduled AS MATERIALIZED (
    SELECT job_id FROM jobs_scheduled WHERE job_id = ANY(%(ids)s::bigint[]) ORDER BY job_id FOR UPDATE
), blocked AS MATERIALIZED (
    SELECT job_id FROM jobs_blocked WHERE job_id = ANY(%(ids)s::bigint[]) ORDER BY job_id FOR UPDATE
)
SELECT job_id FROM ready UNION ALL SELECT job_id FROM scheduled UNION ALL SELECT job_id FROM blocked
