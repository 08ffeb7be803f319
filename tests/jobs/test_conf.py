"""One dict, validated once: what is wrong is said with the key, and an unknown key with the nearest one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs import conf
from jobs.errors import ConfigurationError


def test_without_the_setting_everything_has_its_default(settings: Any) -> None:
    del settings.OPSCHED
    assert conf.problems() == []
    found = conf.get()
    assert (found.HEARTBEAT_SECONDS, found.LEASE_SECONDS, found.MAX_PAYLOAD_BYTES) == (1.0, 5.0, 256 * 1024)


def test_an_unknown_key_is_refused_with_the_nearest_one(settings: Any) -> None:
    settings.OPSCHED = {"LEASE_SECOND": 5}
    assert conf.problems() == ['OPSCHED[LEASE_SECOND]: unknown key. Did you mean "LEASE_SECONDS"?']
    with pytest.raises(ConfigurationError, match='Did you mean "LEASE_SECONDS"'):
        conf.get()


def test_an_unknown_key_that_resembles_nothing_has_no_suggestion(settings: Any) -> None:
    settings.OPSCHED = {"ZZZ": 5}
    assert conf.problems() == ["OPSCHED[ZZZ]: unknown key."]


def test_every_problem_is_told_at_once(settings: Any) -> None:
    settings.OPSCHED = {"MAX_BULK": 0, "POLL_SECONDS": "often", "ZZZ": 1}
    found = conf.problems()
    assert len(found) == 3
    for key in ("MAX_BULK", "POLL_SECONDS", "ZZZ"):
        assert any(f"OPSCHED[{key}]" in problem for problem in found)


def test_a_lease_shorter_than_two_heartbeats_would_kill_live_workers(settings: Any) -> None:
    settings.OPSCHED = {"HEARTBEAT_SECONDS": 2, "LEASE_SECONDS": 3.9}
    (problem,) = conf.problems()
    assert "twice HEARTBEAT_SECONDS" in problem
    settings.OPSCHED = {"HEARTBEAT_SECONDS": 2, "LEASE_SECONDS": 4}
    assert conf.problems() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("HEARTBEAT_SECONDS", 0),
        ("HEARTBEAT_SECONDS", float("nan")),
        ("LEASE_SECONDS", -1),
        ("CLAIM_BATCH", 5001),
        ("MAX_PAYLOAD_DEPTH", 201),
        ("RETENTION_SECONDS", 0),
        ("HTTP_ALLOW_NETWORKS", ["10.0.0.0/99"]),
        ("COMMANDS", {"ls": {"argv": ["ls"]}}),
        ("COMMANDS", {"ls": {"argv": []}}),
        ("COMMANDS", {"ls": {"argv": ["/bin/ls"], "shell": True}}),
        ("EVENTS", 5),
    ],
)
def test_a_value_out_of_range_is_named(settings: Any, key: str, value: object) -> None:
    settings.OPSCHED = {key: value}
    assert any(f"OPSCHED[{key}" in problem for problem in conf.problems())


def test_a_setting_that_is_no_dict_is_said(settings: Any) -> None:
    settings.OPSCHED = ["LEASE_SECONDS"]
    assert len(conf.problems()) == 1


def test_the_settings_are_made_once_and_anew_after_a_change(settings: Any) -> None:
    settings.OPSCHED = {"CLAIM_BATCH": 7}
    first = conf.get()
    assert first.CLAIM_BATCH == 7
    assert conf.get() is first
    settings.OPSCHED = {"CLAIM_BATCH": 8}
    assert conf.get().CLAIM_BATCH == 8


def test_the_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        conf.get().CLAIM_BATCH = 9  # type: ignore[misc]
