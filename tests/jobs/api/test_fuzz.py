"""Whatever arrives at whatever address: an answer below 500, and a problem where it is an error."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.api.bodies import PreviewBody, ScheduleBody, TaskBody
from jobs.api.filters import DeadLetterFilters, JobFilters, ScheduleFilters, WorkerFilters, WorkflowFilters

PATHS = [
    ("POST", "/jobs"),
    ("POST", "/jobs/bulk"),
    ("POST", "/jobs/1/cancel"),
    ("POST", "/jobs/1/priority"),
    ("POST", "/workflows"),
    ("POST", "/schedules"),
    ("POST", "/schedules/preview"),
    ("PATCH", "/schedules/1"),
    ("PUT", "/schedules/1"),
    ("POST", "/dead-letters/replay"),
    ("POST", "/dead-letters/1/discard"),
    ("PATCH", "/queues/notes"),
    ("POST", "/queues/notes/pause"),
]
LISTS = ["/jobs", "/workflows", "/schedules", "/dead-letters", "/queues", "/workers", "/events"]
WORDS = sorted(
    {
        "jobs",
        "ids",
        "reason",
        "attempts",
        "description",
        "ageing_seconds",
        "after",
        "topics",
        "limit",
        "cursor",
    }
    | {"page_size", *TaskBody().fields, *ScheduleBody().fields, *PreviewBody().fields}
    | {
        name
        for filters in (JobFilters, DeadLetterFilters, ScheduleFilters, WorkerFilters, WorkflowFilters)
        for name in filters.base_filters
    }
)
LIKELY = st.sampled_from(
    ["api.note", "* * * * *", "0 0 29 2 1", "UTC", "Europe/Berlin", "2030-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
     "0001-01-01T00:00:00Z", "-1", "0", "9223372036854775807", "job:1", "fixed", "exponential", "\x00", "\ud800", ""]
)  # fmt: skip
TEXT = st.one_of(LIKELY, st.text(max_size=30))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.one_of(st.sampled_from(WORDS), TEXT), inner, max_size=6)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8)
FUZZED = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def fine(answer: Any) -> None:
    assert answer.status_code < 500, answer.content[:500]
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json"
        assert json.loads(answer.content)["status"] == answer.status_code


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_any_object_at_any_address(operator: Any, method: str, path: str) -> None:
    operator.ask("POST", "/jobs", {"kind": "api.note"})

    @FUZZED
    @given(BODIES)
    def attempt(body: dict[str, Any]) -> None:
        fine(operator.ask(method, path, body))

    attempt()


def test_nearly_right_jobs_are_stored_or_refused(operator: Any) -> None:
    @FUZZED
    @given(st.fixed_dictionaries({"kind": st.just("api.note")}, optional={
        "payload": st.dictionaries(TEXT, VALUES, max_size=5),
        "queue": TEXT, "priority": st.integers(-110, 110), "max_attempts": st.integers(0, 1100),
        "timeout": st.floats() | st.integers(), "scheduled_at": st.datetimes().map(lambda at: at.isoformat() + "Z"),
        "unique_key": TEXT | st.dictionaries(st.sampled_from(["key", "scope", "seconds", "policy"]), SCALARS),
        "backoff": st.dictionaries(st.sampled_from(["type", "base", "cap", "jitter", "seconds", "factor"]), SCALARS),
    }))  # fmt: skip
    def attempt(body: dict[str, Any]) -> None:
        answer = operator.ask("POST", "/jobs", body)
        fine(answer)
        if answer.status_code in (200, 201):
            assert operator.ask("GET", f"/jobs/{answer.json()['id']}").status_code == 200

    attempt()


@FUZZED
@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/plain", "", 'a/b;c="d']))
def test_any_bytes(operator: Any, body: bytes, kind: str) -> None:
    fine(operator.raw("/jobs", body, content_type=kind))


@pytest.mark.parametrize("path", LISTS)
def test_any_query(operator: Any, path: str) -> None:
    @FUZZED
    @given(st.dictionaries(st.sampled_from(WORDS), TEXT, max_size=3), st.booleans())
    def attempt(query: dict[str, str], known: bool) -> None:
        if known:
            query = {
                name: value
                for name, value in query.items()
                if name in ("cursor", "page_size", "state", "kind")
            }
        pairs = [f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in query.items()]
        fine(operator.ask("GET", f"{path}?{'&'.join(pairs)}"))

    attempt()


@FUZZED
@given(st.lists(st.one_of(st.sampled_from(["jobs", "queues", "cancel", "1", "schedules"]), TEXT), max_size=4))
def test_any_address(operator: Any, parts: list[str]) -> None:
    path = "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="") for part in parts)
    fine(operator.ask("GET", "/" + path))
    fine(operator.ask("POST", "/" + path, {}))


@FUZZED
@given(
    st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40),
        st.sampled_from(['"a"', '"a";b=":c:"']),
    )
)
def test_any_idempotency_key(operator: Any, key: str) -> None:
    fine(operator.ask("POST", "/jobs", {"kind": "api.note"}, headers={"Idempotency-Key": key}))
