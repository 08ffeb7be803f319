"""The small rules: topics, settings, what a client may say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from hypothesis import given
from hypothesis import strategies as st

import notifications
from notifications import commands, topics
from notifications.commands import Allowance, BadCommand, Ping, Subscribe, Unsubscribe
from notifications.errors import BadTopics, Forbidden


@pytest.fixture
def registered() -> Iterator[None]:
    topics.register("rule:", lambda user, topic: user == "me")
    topics.register("word", lambda user, topic: True)
    yield
    topics.unregister("rule:")
    topics.unregister("word")


@pytest.mark.parametrize("topic", ["rule:1", "rule:a:b", "word", "word:more"])
def test_registered_topics_are_granted(registered: None, topic: str) -> None:
    topics.authorise("me", [topic])


@pytest.mark.parametrize(
    ("user", "topic"), [("you", "rule:1"), ("me", "rule"), ("me", "rule:"), ("me", "rules:1")]
)
def test_unknown_and_unauthorised_topics_are_refused_by_name(registered: None, user: str, topic: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        topics.authorise(user, ["word", topic])
    assert refusal.value.topic == topic


@pytest.mark.parametrize(
    "values", [[], [""], [","], ["a b"], ["a\x00"], ["x" * 201], [",".join(map(str, range(51)))]]
)
def test_bad_topics_are_refused(values: list[str]) -> None:
    with pytest.raises(BadTopics):
        topics.parse(values)


def test_topics_come_repeated_and_comma_separated() -> None:
    assert topics.parse(["a,b", "b, c"]) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ({"PING_SECOND": 3}, "PING_SECONDS"),
        ({"PING_SECONDS": 0}, "PING_SECONDS"),
        ({"BUFFER_BYTES": 2_000_000}, "BUFFER_BYTES"),
        ({"MAX_TOPICS": "many"}, "MAX_TOPICS"),
    ],
)
def test_wrong_settings_are_reported_by_the_system_check(
    settings: Any, events: dict[str, Any], said: str
) -> None:
    settings.OPSCHED = {"EVENTS": events}
    problems = [problem for problem in run_checks() if problem.id == "notifications.E001"]
    assert said in problems[0].msg


def test_sessions_in_cookies_are_warned_about(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert "notifications.W001" in {problem.id for problem in run_checks()}


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr) | st.none())
def test_whatever_a_client_says_is_a_command_or_refused(text: str | None) -> None:
    with contextlib.suppress(BadCommand):
        assert isinstance(commands.parse(text), Subscribe | Unsubscribe | Ping)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "[" * 100_000,
        '{"type":"subscribe"}',
        '{"type":"subscribe","topics":"a"}',
        '{"type":"subscribe","topics":[1]}',
        '{"type":"subscribe","topics":["a"],"after":1}',
        '{"type":["ping"]}',
        '{"type":"ping","x":"' + "y" * 20_000 + '"}',
    ],
)
def test_what_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(BadCommand):
        commands.parse(text)


def test_commands_are_read() -> None:
    assert commands.parse('{"type":"ping"}') == Ping()
    assert commands.parse('{"type":"unsubscribe"}') == Unsubscribe()
    said = '{"type":"subscribe","topics":["a"],"after":"p"}'
    assert commands.parse(said) == Subscribe(topics=("a",), after="p")


def test_a_flood_is_not_allowed() -> None:
    allowance = Allowance(10)
    assert sum(allowance.take() for _ in range(1000)) in range(50, 60)


def test_every_statement_is_used() -> None:
    folder = Path(notifications.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    for path in (folder / "sql").glob("*.sql"):
        assert f'statement("{path.stem}")' in source, path.name
