"""A worker says how many handlers of jobs that it has lost still run in it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0010_submission_without_triggers'),
    ]

    operations = [
        migrations.AddField(
            model_name='workerprocess',
            name='lost_running',
            field=models.IntegerField(db_default=0, default=0, help_text='Handlers of jobs that it has lost which still run. Each keeps its place until it ends.'),
        ),
    ]
