"""Tables of the event log, laid out for rows that are written once, read soon and deleted in bulk."""

import django.contrib.postgres.fields
import notifications.fields
import notifications.models
from django.db import migrations, models


STORAGE = """
DO $$ BEGIN
    -- lz4 makes large batches several times smaller for next to no time; servers built without it get no
    -- compression at all, since pglz would cost the writer more than the bytes do.
    ALTER TABLE notifications_event
        ALTER COLUMN items SET COMPRESSION lz4, ALTER COLUMN topics SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    ALTER TABLE notifications_event
        ALTER COLUMN items SET STORAGE EXTERNAL, ALTER COLUMN topics SET STORAGE EXTERNAL;
END $$;
-- Append-mostly: vacuum after inserts (visibility map, early freezing) and soon after a retention round.
ALTER TABLE notifications_event SET (
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE notifications_tick SET (
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.05);
-- One row, updated every two seconds: room on its page keeps the updates heap-only.
ALTER TABLE notifications_epoch SET (fillfactor = 10);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='Tick',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('snapshot', notifications.fields.SnapshotField()),
                ('at', models.DateTimeField(db_default=notifications.models.ClockTimestamp())),
            ],
        ),
        migrations.CreateModel(
            name='Epoch',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('value', models.CharField(help_text='Random; changes when the log was restored.', max_length=16)),
                ('lineage', models.TextField(help_text='Identity of the database that the ticks were made in.')),
                ('ticked_at', models.DateTimeField(db_default=notifications.models.ClockTimestamp())),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='notifications_epoch_single')],
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('xid', notifications.fields.Xid8Field(db_default=notifications.models.CurrentXid(), editable=False)),
                ('at', models.DateTimeField(db_default=notifications.models.ClockTimestamp())),
                ('topics', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text="Distinct union of the topics of the row's events.", size=None)),
                ('items', notifications.fields.JsonTextField(help_text='[[kind, [topic, …], payload], …]')),
            ],
            options={
                'indexes': [models.Index(fields=['xid'], name='notifications_event_xid')],
            },
        ),
        migrations.RunSQL(STORAGE, reverse_sql=migrations.RunSQL.noop),
    ]
