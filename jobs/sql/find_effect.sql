-- What was recorded under this key, as JSON text ('null' where the function returned nothing).
SELECT coalesce(result::text, 'null') FROM jobs_effect WHERE key = %(key)s AND scope = %(scope)s
