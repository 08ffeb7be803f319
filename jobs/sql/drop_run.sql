-- A run of which nothing came, with its items.
WITH items AS (
    DELETE FROM jobs_deadletteritem WHERE run_id = %(run)s
)
DELETE FROM jobs_deadletterrun WHERE id = %(run)s
