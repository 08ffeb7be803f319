"""Over REST: limits, paused kinds, why a job waits, and another queue or time for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.models import Job
from tests.jobs.api.conftest import Submit

pytestmark = pytest.mark.django_db


def test_limits_are_set_shown_and_taken_off(operator: Any, submit: Submit) -> None:
    submit("api.note")
    limits = {"max_running": 5, "rate": 10, "rate_seconds": 60, "key_max_running": 1, "weight": 7}
    changed = operator.ask("PATCH", "/queues/notes", limits).json()
    assert {name: changed[name] for name in limits} == limits
    assert operator.ask("GET", "/queues/notes").json() == changed
    assert operator.ask("PATCH", "/queues/notes", {"max_running": None}).json()["max_running"] is None
    for wrong in (
        {"max_running": 0},
        {"rate": "many"},
        {"weight": 101},
        {"weight": None},
        {"rate_seconds": -1},
        {"key_rate_seconds": 1e-300},
    ):
        answer = operator.ask("PATCH", "/queues/notes", wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(wrong)))


def test_kinds_are_listed_paused_and_resumed(operator: Any, submit: Submit) -> None:
    assert "api.note" in [kind["name"] for kind in operator.ask("GET", "/kinds").json()["results"]]
    paused = operator.ask("POST", "/kinds/api.note/pause", {"reason": "wrong"}).json()
    assert (paused["paused_by"], paused["reason"], paused["registered"]) == ("olga", "wrong", True)
    assert operator.ask("POST", "/kinds/api.note/pause").status_code == 409
    codes = [r["code"] for r in operator.ask("GET", f"/jobs/{submit('api.note')}/explain").json()["reasons"]]
    assert "kind_paused" in codes
    assert operator.ask("POST", "/kinds/api.note/resume").json()["paused_at"] is None
    assert operator.ask("POST", "/kinds/api.note/resume").status_code == 409
    assert operator.ask("GET", "/kinds/no.such").status_code == 404


def test_a_job_is_explained_and_says_until_when_it_may_be_overtaken(operator: Any, submit: Submit) -> None:
    job = submit("api.note")
    found = operator.ask("GET", f"/jobs/{job}/explain").json()
    assert (found["id"], found["state"], found["starts_at"]) == (job, "available", None)
    assert "no_worker" in [reason["code"] for reason in found["reasons"]]
    told = operator.ask("GET", f"/jobs/{job}").json()
    bound = datetime.fromisoformat(told["overtaken_until"]) - datetime.fromisoformat(told["ready_at"])
    assert bound == timedelta(minutes=100 - told["priority"])
    assert operator.ask("GET", "/jobs/999999999/explain").status_code == 404


def test_a_job_goes_to_another_queue_and_another_time(operator: Any, submit: Submit) -> None:
    job = submit("api.note")
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert operator.ask("POST", f"/jobs/{job}/move", {"queue": "slow"}).json()["done"] == [job]
    assert operator.ask("POST", f"/jobs/{job}/move", {"queue": "slow"}).status_code == 409
    assert operator.ask("POST", f"/jobs/{job}/reschedule", {"scheduled_at": at}).json()["done"] == [job]
    found = Job.objects.get(pk=job)
    assert (found.queue, found.state, found.scheduled_at.isoformat()) == ("slow", "scheduled", at)
    for path, wrong in (
        ("move", {"queue": "no queue"}),
        ("reschedule", {"scheduled_at": "2001-01-01T00:00:00Z"}),
    ):
        answer = operator.ask("POST", f"/jobs/{job}/{path}", wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(wrong)))


def test_a_key_is_taken_and_kept_with_the_job(operator: Any, db: None) -> None:
    body = {"kind": "workflow.task", "payload": {"task": "t", "seconds": 0}, "concurrency_key": "customer-7"}
    job = operator.ask("POST", "/jobs", body).json()["id"]
    assert operator.ask("GET", f"/jobs/{job}").json()["options"] == {"concurrency_key": "customer-7"}
    refused: list[Any] = ["", "x" * 201, "a\nb", 5, ["a"], {}]
    for wrong in refused:
        answer = operator.ask("POST", "/jobs", {**body, "concurrency_key": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "concurrency_key")
    for odd in ("x" * 200, "Zoë ☃ \U0001f600", " ", "'; --", None):
        assert operator.ask("POST", "/jobs", {**body, "concurrency_key": odd}).status_code == 201
