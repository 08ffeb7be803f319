"""What `manage.py check` says about the jobs app: deploy-time mistakes, found before anything runs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from jobs import conf

__all__ = ["check_app_order", "check_settings"]


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    return [Error(text, id="jobs.E001") for text in conf.problems()]


@register()
def check_app_order(**_: Any) -> list[CheckMessage]:
    """`runworker` is also a command of Channels, and the earlier app wins."""
    apps = list(settings.INSTALLED_APPS)
    if "channels" in apps and "jobs" in apps and apps.index("channels") < apps.index("jobs"):
        hint = 'Move "jobs" before "channels" in INSTALLED_APPS.'
        return [Error('"channels" would answer to manage.py runworker.', hint=hint, id="jobs.E002")]
    return []


@register()
def check_database(**_: Any) -> list[CheckMessage]:
    engine = settings.DATABASES.get("default", {}).get("ENGINE", "")
    if "postgresql" not in engine:
        return [
            Error(
                f"opsched needs PostgreSQL 14 or later; the default database is {engine!r}.", id="jobs.E003"
            )
        ]
    return []
