"""Room for both updates of a job on the page where it was inserted, also while nothing can be cleared away.

A claim and a completion write the row anew, each a little longer. With half of each page free the second one found no
room where an open transaction kept the first: it went to another page, with new entries in the indexes. Pages that are
there keep their layout; no row is written and nobody has to stop.
"""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0012_state_and_priority_as_domains")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE jobs_job SET (fillfactor = 30)", "ALTER TABLE jobs_job SET (fillfactor = 50)"
        ),
    ]
