"""Operators may do everything with jobs, viewers may look."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from jobs.roles import create_groups


def forwards(apps: Any, schema_editor: Any) -> None:
    create_groups(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_tables_laid_out"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
