-- Jobs that ended without completing, for the lists by state.
INSERT INTO jobs_closed (job_id, state, reason)
SELECT job, state, reason FROM unnest(%(jobs)s::bigint[], %(states)s::text[], %(reasons)s::text[]) AS u(job, state, reason)
