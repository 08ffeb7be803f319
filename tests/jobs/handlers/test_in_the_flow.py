"""The built-in handlers where they meet the rest: refused at submission, and ending as their errors say."""

from __future__ import annotations

import random
from typing import Any

import pytest

import jobs
from jobs import completion
from jobs.core.backoff import Exponential
from jobs.errors import InvalidSubmission
from jobs.registry import registry
from jobs.states import State

BUILT_IN = ["command.run", "django.call_command", "http.request", "workflow.task"]


def ends(ctx: Any, kind: str, payload: dict[str, Any]) -> State:
    """The state the job's first attempt leads to, by the same steps as in a worker."""
    try:
        outcome = completion.outcome_of(registry.get(kind).fn(ctx, payload))
    except Exception as error:  # noqa: BLE001 - stands where the executor's boundary stands
        outcome = completion.failure(error)
    return completion.decide(
        ctx._job, outcome, backoff=Exponential, max_result=262_144, rng=random.Random(1)
    ).target


def test_all_are_found_by_autodiscovery_and_described() -> None:
    for kind in BUILT_IN:
        assert registry.get(kind).description.endswith(".")


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("http.request", {}, "payload.url"),
        ("http.request", {"url": "file:///etc/passwd"}, "payload.url"),
        ("http.request", {"url": "http://api.example/", "headers": {"Host": "inside"}}, "payload.headers"),
        ("command.run", {"command": "it", "shell": True}, "payload.shell"),
        ("command.run", {"args": []}, "payload.command"),
        ("django.call_command", {"name": "check", "options": {"stdout": 1}}, "payload.options"),
        ("workflow.task", {"task": "t", "seconds": "long"}, "payload.seconds"),
    ],
)
def test_a_bad_payload_is_refused_at_submission_by_field(
    kind: str, payload: dict[str, Any], field: str
) -> None:
    """No database is allowed in this test, so that a refusal after the first statement would fail it."""
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit(kind, payload)
    assert caught.value.field == field


def test_a_refusal_at_submission_does_not_quote_secrets() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit("http.request", {"url": "https://u:s3cr3t@api.example/", "headers": {"A": "s3cr3t\n"}})
    assert "s3cr3t" not in str(caught.value)


def test_what_cannot_get_better_is_a_dead_letter_at_once(ctx: Any, opsched: Any) -> None:
    opsched(HTTP_ALLOW_NETWORKS=[], COMMANDS={}, CALL_COMMANDS=[])
    assert ends(ctx, "http.request", {"url": "http://127.0.0.1/"}) is State.DEAD
    assert ends(ctx, "http.request", {"url": "nonsense"}) is State.DEAD
    assert ends(ctx, "command.run", {"command": "sh"}) is State.DEAD
    assert ends(ctx, "django.call_command", {"name": "flush"}) is State.DEAD
    assert ends(ctx, "workflow.task", {"task": "t", "seconds": 0, "history": "chosen/path"}) is State.DEAD


@pytest.mark.usefixtures("loopback_allowed")
def test_what_may_get_better_is_tried_again(ctx: Any, serve: Any, opsched: Any) -> None:
    busy = serve(b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
    assert ends(ctx, "http.request", {"url": busy.url}) is State.RETRYABLE
    busy.stop()
    assert ends(ctx, "http.request", {"url": busy.url}) is State.RETRYABLE
    opsched(COMMANDS={"fails": {"argv": ["/bin/false"]}})
    assert ends(ctx, "command.run", {"command": "fails"}) is State.RETRYABLE


def test_what_works_is_completed(ctx: Any, serve: Any, opsched: Any) -> None:
    opsched(
        HTTP_ALLOW_NETWORKS=["127.0.0.1/32"],
        COMMANDS={"works": {"argv": ["/bin/true"]}},
        CALL_COMMANDS=["check"],
    )
    hello = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert ends(ctx, "http.request", {"url": hello.url}) is State.COMPLETED
    assert ends(ctx, "command.run", {"command": "works"}) is State.COMPLETED
    assert ends(ctx, "django.call_command", {"name": "check", "args": ["jobs"]}) is State.COMPLETED
    assert ends(ctx, "workflow.task", {"task": "t", "seconds": 0}) is State.COMPLETED


def test_a_cancelled_job_is_cancelled(ctx: Any, opsched: Any) -> None:
    opsched(COMMANDS={"sleeps": {"argv": ["/bin/sleep", "60"]}})
    ctx.request_cancel("an operator asked")
    assert ends(ctx, "command.run", {"command": "sleeps"}) is State.CANCELLED
    assert ends(ctx, "workflow.task", {"task": "t", "seconds": 60}) is State.CANCELLED
