"""A job's state and priority are checked by their types: a table's CHECKs are read anew by every statement that writes.

That took a tenth of a submission. The table is written anew, under a lock, and what was prepared on older connections no
longer fits: stop web and workers, and reckon with some five seconds for each million small jobs.
"""

from __future__ import annotations

from django.db import migrations

DOMAINS = """
CREATE DOMAIN jobs_state AS varchar(10) CONSTRAINT job_state_known CHECK (VALUE IN (
    'blocked', 'scheduled', 'available', 'running', 'retryable', 'completed', 'cancelled', 'dead', 'discarded', 'skipped'));
CREATE DOMAIN jobs_priority AS smallint CONSTRAINT job_priority_range CHECK (VALUE >= -100 AND VALUE <= 100);
ALTER TABLE jobs_job
    DROP CONSTRAINT job_state_known, DROP CONSTRAINT job_priority_range,
    ALTER COLUMN state TYPE jobs_state, ALTER COLUMN priority TYPE jobs_priority
"""
UNDO_DOMAINS = """
ALTER TABLE jobs_job
    ALTER COLUMN state TYPE varchar(10), ALTER COLUMN priority TYPE smallint,
    ADD CONSTRAINT job_state_known CHECK (state IN (
        'blocked', 'scheduled', 'available', 'running', 'retryable', 'completed', 'cancelled', 'dead', 'discarded',
        'skipped')),
    ADD CONSTRAINT job_priority_range CHECK (priority >= -100 AND priority <= 100);
DROP DOMAIN jobs_state;
DROP DOMAIN jobs_priority
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_lost_running")]

    operations = [
        migrations.RunSQL(
            DOMAINS,
            UNDO_DOMAINS,
            state_operations=[
                migrations.RemoveConstraint(model_name="job", name="job_state_known"),
                migrations.RemoveConstraint(model_name="job", name="job_priority_range"),
            ],
        )
    ]
