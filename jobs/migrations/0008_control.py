"""Start deadlines and deadlines, and the marks of attempts under suspicion."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

# A deadline is kept as it was given: an instant, or seconds from the submission. Stable, because texts are read as instants.
DEADLINE = """
CREATE FUNCTION jobs_deadline(options jsonb, created_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(options -> 'deadline')
           WHEN 'number' THEN created_at + make_interval(secs => (options ->> 'deadline')::float8)
           WHEN 'string' THEN (options ->> 'deadline')::timestamptz END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_effects")]

    operations = [
        migrations.RunSQL(DEADLINE, "DROP FUNCTION jobs_deadline(jsonb, timestamptz)"),
        migrations.CreateModel(
            name="Begun",
            fields=[
                ("job", models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="%(class)s_row", serialize=False, to="jobs.job")),
                ("attempt", models.SmallIntegerField()),
                ("worker_id", models.BigIntegerField()),
            ],
            options={"abstract": False, "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Expiring",
            fields=[
                ("job", models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="%(class)s_row", serialize=False, to="jobs.job")),
                ("at", models.DateTimeField()),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
                "indexes": [models.Index(fields=["at", "job"], name="expiring_by_time")],
            },
        ),
    ]
