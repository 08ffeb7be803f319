"""`manage.py jobs`: limits and weights of queues, paused kinds, another queue and another time for what waits."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, OperatorAction, PausedKind, Queue

pytestmark = pytest.mark.django_db

SUBMIT = ("submit", "workflow.task", "--payload", '{"task": "t", "seconds": 0}')


def jobs(*words: str) -> str:
    out = io.StringIO()
    call_command("jobs", *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def refused(code: int, *words: str) -> str:
    with pytest.raises(CommandError) as caught:
        jobs(*words)
    assert caught.value.returncode == code
    return str(caught.value)


@pytest.fixture
def job() -> str:
    return jobs(*SUBMIT, "--queue", "mail", "--concurrency-key", "Zoë & Söhne").strip()


def test_limits_are_set_shown_and_taken_off(job: str) -> None:
    words = ("--max-running", "5", "--rate", "9", "--rate-seconds", "0.5", "--key-rate", "2", "--weight", "3")
    told = jobs("limit", "mail", *words)
    assert {"max_running: 5", "rate: 9", "rate_seconds: 0.5", "key_rate: 2", "weight: 3"} <= set(
        told.splitlines()
    )
    off = json.loads(jobs("limit", "mail", "--max-running", "none", "--ageing-seconds", "none", "--json"))
    assert (off["max_running"], off["ageing_seconds"], off["rate"]) == (None, None, 9)
    assert json.loads(jobs("limit", "mail", "--json")) == off
    assert OperatorAction.objects.filter(action="change").count() == 2, "showing is no action"
    jobs("limit", "mail", "--rate", "8", "--reason", "the host is slow")
    assert OperatorAction.objects.latest("pk").reason == "the host is slow"
    assert "goes with a change" in refused(2, "limit", "mail", "--reason", "the host is slow")


def test_a_queue_is_made_with_its_limits_before_its_first_job() -> None:
    assert refused(1, "limit", "mail", "--max-running", "5") == 'There is no queue "mail".'
    assert "max_running: 5" in jobs("limit", "mail", "--new", "--max-running", "5").splitlines()
    assert refused(1, "limit", "mail", "--new") == 'There is a queue "mail" already.'
    assert "name" in refused(2, "limit", "a b", "--new")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-running", "0"), "max_running"),
        (("--max-running", "many"), "--max-running"),
        (("--rate", "1.5"), "--rate"),
        (("--rate-seconds", "nan"), "rate_seconds"),
        (("--rate-seconds", "1e-9"), "at least 0.001"),
        (("--weight", "none"), "--weight"),
        (("--weight", "101"), "weight"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(job: str, words: tuple[str, ...], said: str) -> None:
    before = Queue.objects.values().get()
    assert said in refused(2, "limit", "mail", *words)
    assert Queue.objects.values().get() == before


def test_there_is_nothing_to_limit_in_a_queue_that_does_not_exist() -> None:
    assert "no queue" in refused(1, "limit", "nowhere")
    assert "no queue" in refused(1, "limit", "nowhere", "--max-running", "1")


def test_a_key_goes_with_the_job(job: str) -> None:
    assert Job.objects.get(pk=job).options == {"concurrency_key": "Zoë & Söhne"}
    assert "concurrency_key" in refused(2, *SUBMIT, "--concurrency-key", "")


def test_kinds_are_paused_and_resumed() -> None:
    assert jobs("pause-kind", "mail.send", "--reason", "why") == 'kind "mail.send" paused\n'
    row = PausedKind.objects.get()
    assert (row.pk, row.paused_by, row.reason) == ("mail.send", "command line", "why")
    assert "already paused" in refused(1, "pause-kind", "mail.send")
    assert json.loads(jobs("resume-kind", "mail.send", "--json")) == {"kind": "mail.send", "paused": False}
    assert "not paused" in refused(1, "resume-kind", "mail.send")
    assert "kind" in refused(2, "pause-kind", "a b")


def test_a_kind_that_no_handler_has_is_paused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("jobs", "pause-kind", "workflow.task")
    assert capsys.readouterr().err == ""
    call_command("jobs", "pause-kind", "workflow.tsk")
    assert "No handler here has that kind" in capsys.readouterr().err


def test_what_waits_goes_to_another_queue_and_time(job: str) -> None:
    assert jobs("move", job, "--queue", "slow") == f"job {job} moved to slow\n"
    assert "slow" in refused(1, "move", job, "--queue", "slow")
    at = "2199-05-01T12:30:00+02:00"
    assert jobs("reschedule", job, "--at", at).startswith(f"job {job} starts at {at}")
    found: Any = Job.objects.get(pk=job)
    assert (found.queue, found.state, found.scheduled_at.isoformat()) == (
        "slow", "scheduled", "2199-05-01T10:30:00+00:00",
    )  # fmt: skip
    for words, said in (
        (("move", job, "--queue", "no queue"), "queue"),
        (("reschedule", job, "--at", "tomorrow"), "ISO 8601"),
        (("reschedule", job, "--at", "2199-05-01T12:30:00"), "zone"),
        (("reschedule", job, "--at", "2001-05-01T12:30:00Z"), "scheduled_at"),
    ):
        assert said in refused(2, *words)
    assert "there is no job 4711" in refused(1, "move", "4711", "--queue", "slow")
