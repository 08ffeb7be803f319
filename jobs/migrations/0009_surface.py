"""Unique and idempotency keys can be looked at; the lists of dead letters have an index for each of their filters."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from jobs.roles import grant

BY_PATTERN = ["varchar_pattern_ops", "timestamptz_ops", "int8_ops"]


def permissions(apps: Any, schema_editor: Any) -> None:
    grant(apps, schema_editor.connection.alias, "uniquekey", "idempotencykey")


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0008_control'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='uniquekey',
            options={'default_permissions': ('view',), 'verbose_name': 'unique key'},
        ),
        migrations.AlterModelOptions(
            name='idempotencykey',
            options={'default_permissions': ('view',), 'verbose_name': 'idempotency key'},
        ),
        migrations.RemoveConstraint(
            model_name='idempotencykey',
            name='idempotencykey_used_once',
        ),
        migrations.AddConstraint(
            model_name='idempotencykey',
            constraint=models.UniqueConstraint(fields=('key', 'user', 'route'), name='idempotencykey_used_once'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['kind', '-died_at', 'job'], name='deadletter_by_kind', opclasses=BY_PATTERN),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['queue', '-died_at', 'job'], name='deadletter_by_queue'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['error_class', '-died_at', 'job'], name='deadletter_by_error', opclasses=BY_PATTERN),
        ),
        migrations.RunPython(permissions, migrations.RunPython.noop),
    ]
