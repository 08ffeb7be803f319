"""System checks: what is wrong with OPSCHED["EVENTS"] or the session engine is said before a client notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import connections
from pydantic import ValidationError

from notifications.conf import EventSettings

__all__ = ["check_database", "check_event_settings", "check_session_engine"]


@register()
def check_event_settings(
    *, app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """notifications.E001: OPSCHED["EVENTS"] is not valid."""
    try:
        EventSettings.model_validate(getattr(settings, "OPSCHED", {}).get("EVENTS", {}))
    except ValidationError as problem:
        return [
            Error(
                f"{'.'.join(map(str, e['loc'])) or 'EVENTS'}: {e['msg']}",
                obj='OPSCHED["EVENTS"]',
                id="notifications.E001",
            )
            for e in problem.errors()
        ]
    return []


@register()
def check_database(*, app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """notifications.E002: the log needs PostgreSQL's snapshots."""
    vendor = connections["default"].vendor
    if vendor == "postgresql":
        return []
    return [Error(f"The event log needs PostgreSQL, not {vendor}.", id="notifications.E002")]


@register()
def check_session_engine(
    *, app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """notifications.W001: cookie sessions cannot be revoked, so a logout would not close streams."""
    if not settings.SESSION_ENGINE.endswith("signed_cookies"):
        return []
    hint = "Use django.contrib.sessions.backends.db or cached_db."
    return [
        checks.Warning(
            "A logout cannot close streams while sessions live in cookies.",
            hint=hint,
            id="notifications.W001",
        )
    ]
