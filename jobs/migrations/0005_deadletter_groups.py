"""Groups of dead letters with counts, runs over frozen sets, and what an undo needs.

Groups of the letters that there are already are filled in at the end: one walk along the new index.
"""

from __future__ import annotations

from typing import Any

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from jobs.roles import grant

# Rows come and go with every batch that dies and every second; as for the other queues, see 0002.
LAYOUT = """
ALTER TABLE jobs_deadlettertally SET (
    autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off)
"""
UNDO_LAYOUT = """
ALTER TABLE jobs_deadlettertally RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate)
"""
# The text of the oldest letter, the kinds of all, at most twenty.
BACKFILL = """
INSERT INTO jobs_deadlettergroup (fingerprint, error_class, message, kinds, count, first_seen, last_seen, note)
SELECT c.fingerprint, f.error_class, left(f.message, 500),
       ARRAY(SELECT DISTINCT k FROM unnest(c.kinds) AS k ORDER BY k LIMIT 20), c.number, c.first_seen, c.last_seen, ''
FROM (
    SELECT fingerprint, count(*) AS number, min(died_at) AS first_seen, max(died_at) AS last_seen,
           array_agg(DISTINCT kind) AS kinds
    FROM jobs_deadletter GROUP BY fingerprint
) c CROSS JOIN LATERAL (
    SELECT d.error_class, d.message FROM jobs_deadletter d WHERE d.fingerprint = c.fingerprint
    ORDER BY d.died_at, d.job_id LIMIT 1
) f
"""


def permissions(apps: Any, schema_editor: Any) -> None:
    grant(apps, schema_editor.connection.alias, "deadlettergroup", "deadletterrun")


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0004_dedupe'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DeadLetterGroup',
            fields=[
                ('fingerprint', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('error_class', models.CharField(max_length=200)),
                ('message', models.TextField(blank=True, help_text='Of the first letter, shortened.')),
                ('kinds', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), default=list, help_text='At most 20 of them.', size=None)),
                ('count', models.BigIntegerField(default=0)),
                ('first_seen', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_seen', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('note', models.TextField(blank=True, help_text='What is known about it.')),
            ],
            options={
                'verbose_name': 'dead-letter group',
                'default_permissions': ('view', 'change'),
            },
        ),
        migrations.CreateModel(
            name='DeadLetterItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('job_id', models.BigIntegerField()),
                ('fingerprint', models.CharField(blank=True, max_length=32)),
                ('died_at', models.DateTimeField(null=True)),
                ('state', models.CharField(choices=[('chosen', 'chosen'), ('done', 'done'), ('refused', 'refused'), ('returned', 'returned'), ('undone', 'undone'), ('skipped', 'skipped')], default='chosen', max_length=10)),
                ('reason', models.TextField(blank=True)),
                ('done_at', models.DateTimeField(null=True)),
                ('kept', models.JSONField(null=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='DeadLetterRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(choices=[('replay', 'replay'), ('discard', 'discard')], max_length=10)),
                ('state', models.CharField(choices=[('previewed', 'previewed'), ('running', 'running'), ('paused', 'paused'), ('halted', 'halted'), ('stopped', 'stopped'), ('finished', 'finished')], default='previewed', max_length=10)),
                ('operator_name', models.CharField(max_length=200)),
                ('filters', models.JSONField(default=dict, help_text='What the set was chosen by.')),
                ('total', models.IntegerField(default=0, help_text='Letters in the set.')),
                ('truncated', models.BooleanField(default=False, help_text='More fitted than one run takes.')),
                ('digest', models.CharField(blank=True, help_text='Of the set; a confirmation names it.', max_length=64)),
                ('reason', models.TextField(blank=True)),
                ('attempts', models.SmallIntegerField(default=1, help_text='Fresh attempts each job gets.')),
                ('canary', models.BooleanField(default=False, help_text='One job goes first, and the rest when it completed.')),
                ('per_minute', models.IntegerField(blank=True, help_text='Pace; null: as fast as batches go.', null=True)),
                ('why', models.TextField(blank=True, help_text='Why it stands still.')),
                ('done', models.IntegerField(default=0)),
                ('refused', models.IntegerField(default=0)),
                ('returned', models.IntegerField(default=0, help_text='Died again of the same error.')),
                ('undone', models.IntegerField(default=0)),
                ('canary_job', models.BigIntegerField(blank=True, null=True)),
                ('canary_passed', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(help_text='Until then a preview can be confirmed.')),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
                ('next_at', models.DateTimeField(blank=True, help_text='When the next job is due.', null=True)),
                ('looked_at', models.DateTimeField(blank=True, help_text='When a worker last looked after it.', null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'dead-letter run',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='DeadLetterTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fingerprint', models.CharField(max_length=32)),
                ('kind', models.CharField(max_length=100)),
                ('change', models.IntegerField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.RemoveIndex(
            model_name='deadletter',
            name='deadletter_by_fingerprint',
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['fingerprint', 'died_at', 'job'], name='deadletter_by_group'),
        ),
        migrations.AddField(
            model_name='deadlettergroup',
            name='owner',
            field=models.ForeignKey(blank=True, db_index=False, help_text='Who looks after it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='deadletterrun',
            name='operator',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='deadletteritem',
            name='run',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='items', to='jobs.deadletterrun'),
        ),
        migrations.AddIndex(
            model_name='deadlettertally',
            index=models.Index(fields=['fingerprint'], name='tally_by_fingerprint'),
        ),
        migrations.AddIndex(
            model_name='deadlettergroup',
            index=models.Index(fields=['-last_seen', 'fingerprint'], name='group_by_time'),
        ),
        migrations.AddIndex(
            model_name='deadletterrun',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['looked_at'], name='run_by_look'),
        ),
        migrations.AddConstraint(
            model_name='deadletterrun',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['previewed', 'running', 'paused', 'halted', 'stopped', 'finished'])), name='run_state_known'),
        ),
        migrations.AddConstraint(
            model_name='deadletterrun',
            constraint=models.CheckConstraint(condition=models.Q(('per_minute__isnull', True), ('per_minute__gte', 1), _connector='OR'), name='run_pace_range'),
        ),
        migrations.AddIndex(
            model_name='deadletteritem',
            index=models.Index(fields=['run', 'state', 'id'], name='item_by_state'),
        ),
        migrations.AddConstraint(
            model_name='deadletteritem',
            constraint=models.UniqueConstraint(fields=('run', 'job_id'), name='item_once'),
        ),
        migrations.RunSQL(LAYOUT, UNDO_LAYOUT),
        # Last: a table that has just been filled cannot be altered in the same transaction.
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.RunPython(permissions, migrations.RunPython.noop),
    ]
