"""`manage.py check` finds deploy-time mistakes before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import get_commands

from jobs import checks


def found() -> dict[str, str]:
    return {str(message.id): message.msg for message in run_checks() if str(message.id).startswith("jobs.")}


def test_this_project_has_no_complaint() -> None:
    assert found() == {}


def test_a_wrong_key_is_reported_with_a_suggestion(settings: Any) -> None:
    settings.OPSCHED = {"LEASE_SECONS": 5}
    assert 'Did you mean "LEASE_SECONDS"' in found()["jobs.E001"]


def test_a_lease_that_is_too_short_is_reported(settings: Any) -> None:
    settings.OPSCHED = {"LEASE_SECONDS": 1.5}
    assert "twice HEARTBEAT_SECONDS" in found()["jobs.E001"]


def test_the_app_order_that_hides_runworker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's setting cannot be changed here without loading all apps anew, so the check gets one of its own."""
    monkeypatch.setattr(checks, "settings", type("S", (), {"INSTALLED_APPS": ["channels", "jobs"]}))
    (message,) = checks.check_app_order()
    assert message.id == "jobs.E002"
    assert "before" in str(message.hint)
    for fine in (["jobs", "channels"], ["jobs"], ["channels"]):
        monkeypatch.setattr(checks, "settings", type("S", (), {"INSTALLED_APPS": fine}))
        assert checks.check_app_order() == []


def test_runworker_is_ours() -> None:
    assert get_commands()["runworker"] == "jobs"


@pytest.mark.parametrize("engine", ["django.db.backends.sqlite3", "django.db.backends.mysql", ""])
def test_another_database_is_reported(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(checks, "settings", type("S", (), {"DATABASES": {"default": {"ENGINE": engine}}}))
    (message,) = checks.check_database()
    assert message.id == "jobs.E003"
    assert "PostgreSQL 14" in message.msg


@pytest.mark.parametrize("engine", ["django.db.backends.postgresql", "opsched.embedded.postgresql"])
def test_postgresql_is_fine(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(checks, "settings", type("S", (), {"DATABASES": {"default": {"ENGINE": engine}}}))
    assert checks.check_database() == []
