"""Limits of queues and keys, weights, paused kinds; ready jobs in lanes by kind or key."""

from __future__ import annotations

from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models

from jobs.roles import OPERATORS, VIEWERS

# How many starts a rate allows by now: what was left, and what has come in since, up to the burst. Null without a rate.
# A clock that was set back adds nothing and takes nothing away.
TOKENS = """
CREATE FUNCTION jobs_tokens(tokens float8, refilled_at timestamptz, rate integer, seconds float8, burst integer,
                            now timestamptz) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN rate IS NULL THEN NULL
                ELSE least(coalesce(burst, rate)::float8,
                           tokens + greatest(0, extract(epoch FROM now - refilled_at)::float8) * rate / seconds) END
$$
"""

# The first in rank of a queue: the best of the firsts of its lanes, each an index probe. Ordering the queue by rank
# would read all of it, because its rows stand by kind and by key.
FIRST = """
CREATE FUNCTION jobs_first_ready(of_queue text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH RECURSIVE kinds AS (
        (SELECT r.kind FROM jobs_ready r WHERE r.queue = of_queue AND r.key IS NULL ORDER BY r.kind DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT r.kind FROM jobs_ready r WHERE r.queue = of_queue AND r.key IS NULL AND r.kind < k.kind
                ORDER BY r.kind DESC LIMIT 1)
        FROM kinds k WHERE k.kind IS NOT NULL
    ), keys AS (
        (SELECT r.key FROM jobs_ready r WHERE r.queue = of_queue AND r.key IS NOT NULL ORDER BY r.key LIMIT 1)
        UNION ALL
        SELECT (SELECT r.key FROM jobs_ready r WHERE r.queue = of_queue AND r.key > k.key ORDER BY r.key LIMIT 1)
        FROM keys k WHERE k.key IS NOT NULL
    )
    SELECT best.job_id FROM (
        SELECT f.job_id, f.rank FROM kinds k CROSS JOIN LATERAL (
            SELECT r.job_id, r.rank FROM jobs_ready r WHERE r.queue = of_queue AND r.kind = k.kind AND r.key IS NULL
            ORDER BY r.rank, r.job_id LIMIT 1) f
        UNION ALL
        SELECT f.job_id, f.rank FROM (SELECT key FROM keys WHERE key IS NOT NULL LIMIT 1000) k CROSS JOIN LATERAL (
            SELECT r.job_id, r.rank FROM jobs_ready r WHERE r.queue = of_queue AND r.key = k.key
            ORDER BY r.rank, r.job_id LIMIT 1) f
    ) best ORDER BY best.rank, best.job_id LIMIT 1
$$
"""

# As in 0002: these are filled and emptied all the time, and a vacuum that truncates them would stop everybody.
LAYOUT = """
ALTER TABLE jobs_permit SET (
    autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500, vacuum_truncate = off);
ALTER TABLE jobs_bucket SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500, vacuum_truncate = off)
"""
UNDO_LAYOUT = """
ALTER TABLE jobs_permit RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate);
ALTER TABLE jobs_bucket RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate)
"""


def hand_out(apps: Any, schema_editor: Any) -> None:
    """The new permissions, to the groups as migration 0003 meant them."""
    from django.contrib.auth.management import create_permissions

    config = apps.get_app_config("jobs")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    groups = apps.get_model("auth", "Group").objects
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="jobs")
    new = {OPERATORS: ["pause_kind", "view_pausedkind", "move_job", "reschedule_job"], VIEWERS: ["view_pausedkind"]}
    for name, codenames in new.items():
        for group in groups.filter(name=name):
            group.permissions.add(*permissions.filter(codename__in=codenames))


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_deadletter_groups'),
    ]

    operations = [
        migrations.CreateModel(
            name='Bucket',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('key', models.CharField(blank=True, max_length=200)),
                ('tokens', models.FloatField(default=0)),
                ('refilled_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='PausedKind',
            fields=[
                ('kind', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('paused_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('paused_by', models.CharField(max_length=200)),
                ('reason', models.TextField(blank=True)),
            ],
            options={
                'permissions': [('pause_kind', 'Can pause and resume kinds')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Permit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('job_id', models.BigIntegerField()),
                ('queue', models.CharField(max_length=100)),
                ('key', models.CharField(max_length=200, null=True)),
                ('attempt', models.SmallIntegerField()),
                ('worker_id', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AlterModelOptions(
            name='job',
            options={'default_permissions': ('view',), 'permissions': [('submit_job', 'Can submit jobs'), ('cancel_job', 'Can cancel jobs'), ('run_now_job', 'Can run a waiting job now'), ('reprioritise_job', "Can change a job's priority"), ('move_job', 'Can move a waiting job to another queue'), ('reschedule_job', 'Can change when a waiting job starts')]},
        ),
        migrations.RemoveIndex(
            model_name='ready',
            name='ready_by_rank',
        ),
        migrations.AddField(
            model_name='queue',
            name='key_max_running',
            field=models.IntegerField(blank=True, help_text='Jobs at once of each key.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='key_rate',
            field=models.IntegerField(blank=True, help_text='Starts of each key.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='key_rate_burst',
            field=models.IntegerField(blank=True, help_text='Starts at once of each key.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='key_rate_seconds',
            field=models.FloatField(db_default=1.0, default=1.0),
        ),
        migrations.AddField(
            model_name='queue',
            name='max_running',
            field=models.IntegerField(blank=True, help_text='Jobs at once, over all workers.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='rate',
            field=models.IntegerField(blank=True, help_text='Starts in `rate_seconds`.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='rate_burst',
            field=models.IntegerField(blank=True, help_text='Starts at once after a pause.', null=True),
        ),
        migrations.AddField(
            model_name='queue',
            name='rate_seconds',
            field=models.FloatField(db_default=1.0, default=1.0),
        ),
        migrations.AddField(
            model_name='queue',
            name='weight',
            field=models.SmallIntegerField(db_default=1, default=1, help_text='Its share of a worker that serves several queues.'),
        ),
        migrations.AddField(
            model_name='ready',
            name='key',
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name='workerprocess',
            name='strict',
            field=models.BooleanField(db_default=False, default=False, help_text='Takes from its queues in the order they are named.'),
        ),
        migrations.AddIndex(
            model_name='ready',
            index=models.Index(condition=models.Q(('key__isnull', True)), fields=['queue', 'kind', 'rank', 'job'], name='ready_by_kind'),
        ),
        migrations.AddIndex(
            model_name='ready',
            index=models.Index(condition=models.Q(('key__isnull', False)), fields=['queue', 'key', 'rank', 'job'], name='ready_by_key'),
        ),
        migrations.AddConstraint(
            model_name='queue',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', 1), ('weight__lte', 100)), name='queue_weight_range'),
        ),
        migrations.AddConstraint(
            model_name='queue',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('max_running__isnull', True), ('max_running__gte', 1), _connector='OR'), models.Q(('rate__isnull', True), ('rate__gte', 1), _connector='OR'), models.Q(('rate_burst__isnull', True), ('rate_burst__gte', 1), _connector='OR'), ('rate_seconds__gt', 0), models.Q(('key_max_running__isnull', True), ('key_max_running__gte', 1), _connector='OR'), models.Q(('key_rate__isnull', True), ('key_rate__gte', 1), _connector='OR'), models.Q(('key_rate_burst__isnull', True), ('key_rate_burst__gte', 1), _connector='OR'), ('key_rate_seconds__gt', 0)), name='queue_limits_range'),
        ),
        migrations.AddConstraint(
            model_name='bucket',
            constraint=models.UniqueConstraint(fields=('queue', 'key'), name='bucket_once'),
        ),
        migrations.AddIndex(
            model_name='permit',
            index=models.Index(fields=['queue', 'key'], name='permit_by_queue'),
        ),
        migrations.AddIndex(
            model_name='permit',
            index=models.Index(fields=['job_id'], name='permit_by_job'),
        ),
        migrations.RunSQL(TOKENS, "DROP FUNCTION jobs_tokens(float8, timestamptz, integer, float8, integer, timestamptz)"),
        migrations.RunSQL(FIRST, "DROP FUNCTION jobs_first_ready(text)"),
        migrations.RunSQL(LAYOUT, UNDO_LAYOUT),
        migrations.RunPython(hand_out, migrations.RunPython.noop),
    ]
