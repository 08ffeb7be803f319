"""What Django's models cannot say: fill factors for heap-only updates, the rank function, autovacuum for hot tables."""

from __future__ import annotations

from django.db import migrations

# The unit in which a rank counts is a microsecond. Without ageing a step of priority is worth 2**53 of them (285 years):
# strict priority, first come first served within it, by the same formula.
RANK = """
CREATE FUNCTION jobs_rank(ready_at timestamptz, priority smallint, ageing_seconds float8) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (extract(epoch FROM ready_at) * 1000000)::bigint
         - priority::bigint * coalesce((ageing_seconds * 1000000)::bigint, 9007199254740992)
$$
"""

# A claim and a completion rewrite the job row; with half of each page free both stay on it and touch no index (0013
# frees more of it, for what an open transaction keeps there).
#
# The narrow tables are emptied and filled all the time. A vacuum that gives their empty end back to the system locks the
# table against everybody meanwhile, and the workers stood still for one or two seconds; so it keeps the pages.
LAYOUT = """
ALTER TABLE jobs_job SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE jobs_workerprocess SET (fillfactor = 50);
ALTER TABLE jobs_ready SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
ALTER TABLE jobs_scheduled SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
ALTER TABLE jobs_blocked SET (vacuum_truncate = off);
ALTER TABLE jobs_cancelrequest SET (vacuum_truncate = off);
ALTER TABLE jobs_claim SET (
    autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500, vacuum_truncate = off)
"""
UNDO_LAYOUT = """
ALTER TABLE jobs_job RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE jobs_workerprocess RESET (fillfactor);
ALTER TABLE jobs_ready RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate);
ALTER TABLE jobs_scheduled RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate);
ALTER TABLE jobs_blocked RESET (vacuum_truncate);
ALTER TABLE jobs_cancelrequest RESET (vacuum_truncate);
ALTER TABLE jobs_claim RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate)
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.RunSQL(RANK, "DROP FUNCTION jobs_rank(timestamptz, smallint, float8)"),
        migrations.RunSQL(LAYOUT, UNDO_LAYOUT),
    ]
