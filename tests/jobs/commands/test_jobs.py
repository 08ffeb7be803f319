"""`manage.py jobs`: a face over the same functions as the admin and REST; wrong input ends with exit code 2."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs import steering
from jobs.control import Actor
from jobs.models import Attempt, DeadLetter, Job, LogLine, OperatorAction, Queue
from jobs.submit import submit
from tests.races.harness import Hand, dead

pytestmark = pytest.mark.django_db

KIND, PAYLOAD = "workflow.task", '{"task": "t", "seconds": 0}'


def jobs(*words: str) -> str:
    out = io.StringIO()
    call_command("jobs", *words, stdout=out)
    return out.getvalue()


def refused(code: int, *words: str) -> str:
    with pytest.raises(CommandError) as caught:
        jobs(*words)
    assert caught.value.returncode == code
    assert "\n" not in str(caught.value).strip()
    return str(caught.value)


def one(**options: Any) -> int:
    return submit(KIND, {"task": "t", "seconds": 0}, **options).id


# -- submit ------------------------------------------------------------------------------------------------------------


def test_submit_prints_the_id_alone() -> None:
    told = jobs("submit", KIND, "--payload", PAYLOAD)
    assert told == f"{Job.objects.get().pk}\n"


def test_submit_takes_all_options() -> None:
    words = (
        "--queue",
        "night",
        "--priority",
        "-7",
        "--at",
        "2100-01-01T08:00:00+01:00",
        "--max-attempts",
        "2",
    )
    told = json.loads(jobs("submit", KIND, "--payload", PAYLOAD, *words, "--timeout", "1.5", "--json"))
    job = Job.objects.get(pk=told["id"])
    assert told["state"] == job.state == "scheduled"
    assert (job.queue, job.priority, job.max_attempts, job.options) == ("night", -7, 2, {"timeout": 1.5})
    assert job.scheduled_at.isoformat() == "2100-01-01T07:00:00+00:00"


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_payload_can_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(PAYLOAD.encode()))
    jobs("submit", KIND, "--payload", "-")
    assert Job.objects.get().payload == {"task": "t", "seconds": 0}


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xff", "not UTF-8"), (b" " * (5 << 20), "more than 1,048,576 bytes"), (b"", "is not JSON")],
)
def test_standard_input_that_is_no_payload(monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(data))
    assert reason in refused(2, "submit", KIND, "--payload", "-")
    assert not Job.objects.exists()


def test_standard_input_that_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert "no standard input" in refused(2, "submit", KIND, "--payload", "-")
    assert not Job.objects.exists()


DEEP = '{"a":' * 40 + "1" + "}" * 40
BAD = {
    "unknown kind": (["workflow.tsk"], 'Did you mean "workflow.task"?'),
    "payload not JSON": ([KIND, "--payload", "{oops"], "line 1, column 2"),
    "payload no object": ([KIND, "--payload", "[1]"], "payload: must be a JSON object"),
    "payload too deep for Python": ([KIND, "--payload", "[" * 200_000], "nested too deep"),
    "payload with an endless number": ([KIND, "--payload", '{"a":' + "1" * 5000 + "}"], "not usable JSON"),
    "payload too deep": (["http.request", "--payload", DEEP], "payload"),
    "payload too large": ([KIND, "--payload", '{"task":"' + "x" * 300_000 + '"}'], "payload"),
    "payload with NaN": ([KIND, "--payload", '{"task":"t","seconds":NaN}'], "payload.seconds"),
    "payload with NUL": ([KIND, "--payload", '{"task":"a\\u0000","seconds":0}'], "NUL"),
    "payload with a lone surrogate": ([KIND, "--payload", '{"task":"\\ud800","seconds":0}'], "payload"),
    "payload with a key twice": (
        [KIND, "--payload", '{"task":"t","seconds":0,"task":"u"}'],
        'the key "task" twice',
    ),
    "payload that is not UTF-8": ([KIND, "--payload", '"\udcff"'], "payload: is not UTF-8"),
    "payload that does not fit": ([KIND, "--payload", '{"task":"t"}'], "payload.seconds"),
    "priority out of range": (
        [KIND, "--payload", PAYLOAD, "--priority", "101"],
        "priority: must be within -100..100",
    ),
    "attempts out of range": ([KIND, "--payload", PAYLOAD, "--max-attempts", "0"], "max_attempts"),
    "timeout NaN": ([KIND, "--payload", PAYLOAD, "--timeout", "nan"], "timeout"),
    "time without zone": ([KIND, "--payload", PAYLOAD, "--at", "2100-01-01T08:00"], "no time zone"),
    "no time": ([KIND, "--payload", PAYLOAD, "--at", "tomorrow"], "--at"),
    "no queue": ([KIND, "--payload", PAYLOAD, "--queue", "a b"], "queue"),
}


@pytest.mark.parametrize(("words", "reason"), BAD.values(), ids=BAD)
def test_bad_input_leaves_nothing_behind(words: list[str], reason: str) -> None:
    assert reason in refused(2, "submit", *words)
    assert not Job.objects.exists()
    assert not Queue.objects.exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["list", "--queue", "\udcff"], "queue"),
        (["list", "--kind", "\udcff"], "kind"),
        (["limit", "\udcff"], "queue"),
        (["pause", "\udcff"], "queue"),
        (["resume-kind", "\udcff"], "kind"),
        (["cancel", "1", "--reason", "\udcff"], "reason"),
    ],
)
def test_bytes_that_are_not_utf8_are_named(words: list[str], named: str) -> None:
    assert refused(2, *words) == f"{named}: is not UTF-8"


# -- list and show -----------------------------------------------------------------------------------------------------


def test_list_is_newest_first_filtered_and_bounded() -> None:
    ids = [one(queue="a"), one(queue="b"), one(queue="a")]
    assert [job["id"] for job in json.loads(jobs("list", "--json"))] == ids[::-1]
    assert [job["id"] for job in json.loads(jobs("list", "--json", "--queue", "a"))] == [ids[2], ids[0]]
    assert [job["id"] for job in json.loads(jobs("list", "--json", "--limit", "1"))] == [ids[2]]
    assert json.loads(jobs("list", "--json", "--state", "dead")) == []
    assert len(json.loads(jobs("list", "--json", "--state", "available", "--kind", KIND))) == 3
    table = jobs("list").splitlines()
    assert table[0].split()[:2] == ["id", "state"]
    assert [int(line.split()[0]) for line in table[1:]] == ids[::-1]


def test_list_refuses_limits_that_are_none() -> None:
    assert "--limit" in refused(2, "list", "--limit", "0")
    assert "--limit" in refused(2, "list", "--limit", "1001")


def test_show_tells_everything_about_a_dead_letter(dead_job: int) -> None:
    told = json.loads(jobs("show", str(dead_job), "--json"))
    assert told["state"] == "dead"
    assert told["payload"] == {"task": "t", "seconds": 0}
    assert told["dead_letter"]["error_class"] == "Boom"
    assert told["attempts"][0]["outcome"] == "failed"
    text = jobs("show", str(dead_job))
    assert "Boom: boom" in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_what_is_not_there_is_said_to_be_not_there() -> None:
    assert refused(1, "show", "4711") == "There is no job 4711."


def test_what_a_handler_wrote_does_nothing_to_the_terminal(dead_job: int) -> None:
    evil = "\x1b]0;title\x07 \x1b[2J \x9b31m \r\x08 <b>bold</b> [red]x"
    LogLine.objects.create(job_id=dead_job, attempt=1, at=datetime.now(UTC), line=evil)
    DeadLetter.objects.update(message=evil, traceback=evil)
    Attempt.objects.update(message=evil)
    text = jobs("show", str(dead_job))
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text if letter != "\n")
    assert text.count("␛[2J") >= 3
    assert "<b>bold</b> [red]x" in text
    assert refused(1, "cancel", "4711") == "there is no job 4711"
    assert refused(1, "pause", "nowhere") == 'There is no queue "nowhere".'


@pytest.mark.parametrize(
    "word", ["0", "-1", "x", "1.5", "9223372036854775808", "1" * 5000, "0" * 19 + "9" * 30, "\u0661"]
)
@pytest.mark.parametrize("action", ["show", "cancel"])
def test_what_is_no_id_is_refused_before_the_database_sees_it(action: str, word: str) -> None:
    with pytest.raises(CommandError, match="is no id"):
        jobs(action, "--", word)


# -- steer -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead_job(transactional_db: None) -> Iterator[int]:
    job, hand = one(), Hand()
    hand.end(dead(hand.claim([job])[0]))
    yield job
    hand.close()


def test_cancel_cancels_and_records_who_and_why() -> None:
    job = one()
    assert jobs("cancel", str(job), "--reason", "mistake") == f"job {job} cancelled\n"
    assert Job.objects.get().state == "cancelled"
    action = OperatorAction.objects.get()
    assert (action.actor_name, action.action, action.reason) == ("command line", "cancel", "mistake")
    assert "is cancelled and cannot be cancelled" in refused(1, "cancel", str(job))


def test_of_several_the_possible_ones_are_done_and_the_others_named() -> None:
    job = one()
    with pytest.raises(CommandError, match="there is no job 4711"):
        jobs("cancel", str(job), "4711")
    assert Job.objects.get().state == "cancelled"


def test_a_waiting_job_is_run_now_and_gets_another_priority() -> None:
    job = one(scheduled_at=datetime(2199, 1, 1, tzinfo=UTC))
    assert jobs("priority", str(job), "--priority", "-7") == f"job {job} has priority -7\n"
    assert jobs("run-now", str(job), "--reason", "needed") == f"job {job} is available\n"
    found = Job.objects.get()
    assert (found.state, found.priority) == ("available", -7)
    assert list(OperatorAction.objects.order_by("pk").values_list("actor_name", "reason")) == [
        ("command line", ""),
        ("command line", "needed"),
    ]
    assert "is available" in refused(1, "run-now", str(job))
    assert "priority" in refused(2, "priority", str(job), "--priority", "101")
    assert Job.objects.get().priority == -7


def test_a_running_job_is_asked_to_stop(transactional_db: None) -> None:
    job, hand = one(), Hand()
    hand.claim([job])
    assert json.loads(jobs("cancel", str(job), "--json")) == {"done": [], "requested": [job], "refused": []}
    hand.close()


def test_replay_gives_a_dead_letter_a_fresh_attempt(dead_job: int) -> None:
    assert jobs("replay", str(dead_job), "--reason", "mended") == f"job {dead_job} replayed\n"
    assert Job.objects.get().state == "available"
    assert not DeadLetter.objects.exists()


def test_discard_decides_against_it(dead_job: int) -> None:
    assert jobs("discard", str(dead_job), "--reason", "pointless") == f"job {dead_job} discarded\n"
    assert Job.objects.get().state == "discarded"


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_decision_about_a_dead_letter_needs_a_reason(action: str, dead_job: int) -> None:
    with pytest.raises(CommandError, match="--reason"):
        jobs(action, str(dead_job))
    assert "reason" in refused(2, action, str(dead_job), "--reason", "  ")
    assert Job.objects.get().state == "dead"


def test_a_queue_is_paused_and_resumed_once() -> None:
    one(queue="mail")
    assert jobs("pause", "mail") == 'queue "mail" paused\n'
    assert Queue.objects.get().paused_at is not None
    assert refused(1, "pause", "mail") == 'The queue "mail" is already paused.'
    assert json.loads(jobs("resume", "mail", "--json")) == {"name": "mail", "paused_at": None}
    again = json.loads(jobs("pause", "mail", "--json"))["paused_at"]
    assert again == Queue.objects.get().paused_at.isoformat()  # type: ignore[union-attr]
    jobs("resume", "mail")
    with pytest.raises(Exception, match="not paused"):
        steering.resume_queue(Actor(), "mail")


def test_an_action_must_be_named() -> None:
    with pytest.raises(CommandError):
        jobs()
