-- The other sessions in which a worker claims and ends jobs, or writes what they say: of a worker that is lost, or before a
-- doubtful commit is asked about. A process that is frozen in the middle of a transaction keeps its locks, and while its
-- statements are piped no time limit of the server runs. Only what this role may end. No row back: there is none, and what
-- they did is committed or undone.
SELECT pg_terminate_backend(a.pid)
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.application_name = %(name)s AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND pg_has_role(a.usesysid, 'USAGE')
  AND (NOT r.rolsuper OR (SELECT me.rolsuper FROM pg_roles me WHERE me.rolname = current_user))
