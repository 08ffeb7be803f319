-- Jobs that ended, with everything that belongs to them. The state is asked again, since a replay may have come between.
WITH gone AS MATERIALIZED (
    SELECT id FROM jobs_job
    WHERE id = ANY(%(ids)s::bigint[]) AND state IN ('completed', 'cancelled', 'discarded', 'skipped')
    ORDER BY id FOR UPDATE
), attempts AS (
    DELETE FROM jobs_attempt a USING gone g WHERE a.job_id = g.id
), lines AS (
    DELETE FROM jobs_logline l USING gone g WHERE l.job_id = g.id
), losses AS (
    DELETE FROM jobs_logloss s USING gone g WHERE s.job_id = g.id
), progress AS (
    DELETE FROM jobs_progress p USING gone g WHERE p.job_id = g.id
), closed AS (
    DELETE FROM jobs_closed c USING gone g WHERE c.job_id = g.id
), expiring AS (
    DELETE FROM jobs_expiring e USING gone g WHERE e.job_id = g.id
), begun AS (
    DELETE FROM jobs_begun b USING gone g WHERE b.job_id = g.id
), edges AS (
    DELETE FROM jobs_dependency d USING gone g WHERE d.child_id = g.id OR d.parent_id = g.id
)
DELETE FROM jobs_job j USING gone g WHERE j.id = g.id
