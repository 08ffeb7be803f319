-- Letters of a run that are left alone, and why.
UPDATE jobs_deadletteritem i SET state = 'refused', reason = u.reason
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[]) AS u(id, reason)
WHERE i.run_id = %(run)s AND i.job_id = u.id AND i.state = 'chosen'
