-- A queue has no limits any more: nobody counts its places and tokens.
WITH places AS (
    DELETE FROM jobs_permit WHERE queue = %(queue)s
)
DELETE FROM jobs_bucket WHERE queue = %(queue)s
