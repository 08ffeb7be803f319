"""`manage.py jobs`: another queue, another time, limits of a queue, pauses of a kind."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, OperatorAction, PausedKind, Queue
from jobs.submit import submit

pytestmark = pytest.mark.django_db

KIND = "workflow.task"


def jobs(*words: str) -> str:
    out = io.StringIO()
    call_command("jobs", *words, stdout=out)
    return out.getvalue()


def one() -> int:
    return submit(KIND, {"task": "t", "seconds": 0}, queue="q").id


def test_a_job_is_moved_and_rescheduled() -> None:
    job = one()
    assert jobs("move", str(job), "--queue", "slow", "--reason", "big") == f"job {job} moved to slow\n"
    when = "2199-01-31T08:00:00+01:00"
    assert jobs("reschedule", str(job), "--at", when) == f"job {job} starts at {when} or later\n"
    found = Job.objects.get()
    assert (found.queue, found.state) == ("slow", "scheduled")
    assert found.scheduled_at == datetime(2199, 1, 31, 7, tzinfo=UTC)
    assert set(OperatorAction.objects.values_list("action", "reason")) == {
        ("move", "big"),
        ("reschedule", ""),
    }


def test_limits_are_shown_set_and_taken_off() -> None:
    one()
    changed = jobs(
        "limit", "q", "--max-running", "5", "--rate", "10", "--rate-seconds", "0.5", "--weight", "3"
    )
    assert "max_running: 5" in changed.splitlines()
    told = json.loads(jobs("limit", "q", "--json"))
    assert (told["max_running"], told["rate"], told["rate_seconds"], told["weight"]) == (5, 10, 0.5, 3)
    jobs("limit", "q", "--max-running", "none", "--ageing-seconds", "none")
    queue = Queue.objects.get(pk="q")
    assert (queue.max_running, queue.ageing_seconds, queue.rate) == (None, None, 10)


def test_a_kind_is_paused_and_resumed() -> None:
    assert jobs("pause-kind", KIND, "--reason", "wrong figures") == f'kind "{KIND}" paused\n'
    assert PausedKind.objects.get().reason == "wrong figures"
    assert json.loads(jobs("resume-kind", KIND, "--json")) == {"kind": KIND, "paused": False}
    assert not PausedKind.objects.exists()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["move", "4711", "--queue", "slow"], 1, "there is no job 4711"),
        (["move", "4711", "--queue", "no name"], 2, "queue: 1 to 100 letters"),
        (["reschedule", "4711", "--at", "soon"], 2, "--at: 'soon' is no date"),
        (["reschedule", "4711", "--at", "2020-01-01T00:00:00Z"], 2, "must lie ahead"),
        (["limit", "nowhere"], 1, 'There is no queue "nowhere".'),
        (["limit", "q", "--max-running", "many"], 2, "--max-running: 'many' is no number and not"),
        (["limit", "q", "--max-running", "0"], 2, "max_running: must be within"),
        (["limit", "q", "--weight", "none"], 2, "--weight: 'none' is no number"),
        (["limit", "q", "--rate-seconds", "nan"], 2, "rate_seconds"),
        (["resume-kind", KIND], 1, "is not paused"),
        (["pause-kind", "no name"], 2, "kind: 1 to 100 letters"),
    ],
)
def test_what_cannot_be_done_says_so_and_changes_nothing(words: list[str], code: int, reason: str) -> None:
    one()
    before = (Queue.objects.values().get(), Job.objects.values().get())
    with pytest.raises(CommandError, match=reason) as caught:
        jobs(*words)
    assert caught.value.returncode == code
    assert (Queue.objects.values().get(), Job.objects.values().get()) == before
    assert not OperatorAction.objects.exists()
