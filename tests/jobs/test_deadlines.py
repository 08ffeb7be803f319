"""Start deadlines and deadlines: what comes too late does not begin, is cut off, or is discarded where it waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

import jobs
from jobs import JobSpec, deadletters, submit_workflow
from jobs import deadletter_steering as steering
from jobs.acting import Actor
from jobs.core.backoff import Fixed
from jobs.database import django_cursor, open_connection
from jobs.errors import InvalidSubmission
from jobs.expiry import Expirer
from jobs.letter_preview import describe
from jobs.models import Attempt, DeadLetter, Expiring, Job
from jobs.outcomes import Settled
from jobs.registry import job
from jobs.running.gate import Gate
from jobs.store.timing import expire_due
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, make_worker, take, told
from tests.support import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables_agree")]


def soon(seconds: float = 60) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def in_an_hour() -> int:
    """What is due by then is discarded; how many were."""
    with transaction.atomic(), django_cursor() as cursor:
        return expire_due(cursor, now=soon(3600))[0]


def closed(job_id: int) -> tuple[str, str, int]:
    found: Any = Job.objects.get(pk=job_id)
    return found.state, found.closed_row.reason, found.attempt


RAN: list[int] = []


@job("deadlines.note", queue="test")
def note(ctx: Any, payload: dict[str, Any]) -> None:
    RAN.append(ctx.job_id)


@job("deadlines.slow", queue="test", backoff=Fixed(seconds=1))
def slow(ctx: Any, payload: dict[str, Any]) -> None:
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.raise_if_cancelled()


@job("deadlines.slow_async", queue="test", backoff=Fixed(seconds=1))
async def slow_async(ctx: Any, payload: dict[str, Any]) -> None:
    import asyncio

    await asyncio.sleep(30)


@job("deadlines.second_time", queue="test", backoff=Fixed(seconds=30))
def second_time(ctx: Any, payload: dict[str, Any]) -> None:
    if ctx.attempt == 1:
        raise ValueError("no")


@job("deadlines.fails", queue="test", backoff=Fixed(seconds=30))
def fails(ctx: Any, payload: dict[str, Any]) -> None:
    raise ValueError("no")


# -- start deadlines ---------------------------------------------------------------------------------------------------


def test_what_has_not_begun_by_its_start_deadline_is_discarded_wherever_it_waits() -> None:
    available = jobs.submit("test.echo", expires_at=soon()).id
    scheduled = jobs.submit("test.echo", scheduled_at=soon(30), expires_at=soon()).id
    _, (parent, child, below) = submit_workflow(
        "w",
        [
            JobSpec(kind="test.echo", key="a"),
            JobSpec(kind="test.echo", key="b", parents=["a"], expires_at=soon()),
            JobSpec(kind="test.echo", key="c", parents=["b"]),
        ],
    )
    untouched = jobs.submit("test.echo").id
    with django_cursor() as cursor:
        assert expire_due(cursor) == (0, False), "not before its time"
    assert in_an_hour() == 3
    for one in (available, scheduled, child.id):
        assert closed(one) == ("discarded", "expired: it had not begun by its start deadline", 0)
    assert Job.objects.get(pk=below.id).state == "skipped"
    assert {Job.objects.get(pk=one).state for one in (parent.id, untouched)} == {"available"}
    assert len(told("job.discarded")) == 3
    assert not Expiring.objects.exists()
    assert in_an_hour() == 0


def test_what_one_worker_looks_at_the_others_pass_over() -> None:
    """Were they to wait, a worker that is frozen in the middle of its look would hold all of them up."""
    one = jobs.submit("test.echo", expires_at=soon()).id
    with open_connection("other worker") as other, other.transaction(), other.cursor() as its:
        assert expire_due(its, now=soon(3600)) == (1, False)
        with transaction.atomic(), django_cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '3s'")
            assert expire_due(cursor, now=soon(3600)) == (0, False)
    assert closed(one)[0] == "discarded"


def test_one_that_has_begun_in_time_goes_on() -> None:
    begun = jobs.submit("test.echo", expires_at=soon()).id
    take(make_worker(), begun)
    assert in_an_hour() == 0
    assert Job.objects.get(pk=begun).state == "running"


def make_late(job_id: int, key: str) -> None:
    """Its time passes after the sweep has looked: the row of the sweep still says later."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET options = jsonb_set(options, ARRAY[%s], to_jsonb(clock_timestamp() - interval '1 s')) "
            "WHERE id = %s",
            [key, job_id],
        )


@pytest.mark.parametrize("key", ["expires_at", "deadline"])
def test_it_never_begins_after_its_time_even_where_the_sweep_was_late(bench: Bench, key: str) -> None:
    RAN.clear()
    one = jobs.submit("deadlines.note", **{key: soon()}).id  # type: ignore[arg-type]
    make_late(one, key)
    bench.until(one, "discarded")
    assert closed(one)[2] == 0, "no attempt was made"
    assert RAN == []
    assert not Attempt.objects.exists()


def test_without_the_question_at_the_start_it_would_begin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr("jobs.running.threads.is_asked_about", lambda job: False)
    RAN.clear()
    one = jobs.submit("deadlines.note", expires_at=soon()).id
    make_late(one, "expires_at")
    bench.until(one, "completed")
    assert [one] == RAN


def test_the_loop_of_a_worker_discards_them_in_time() -> None:
    one = jobs.submit("test.echo", expires_at=soon(0.3)).id
    loop = Expirer(on_death=lambda *_: None)
    loop.start()
    try:
        until = time.monotonic() + 10
        while Job.objects.get(pk=one).state != "discarded":
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        loop.stop()
    found = Job.objects.get(pk=one)
    assert found.finished_at is not None
    due = datetime.fromisoformat(found.options["expires_at"])  # type: ignore[index]
    assert timedelta() <= found.finished_at - due < timedelta(seconds=2)


# -- deadlines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["deadlines.slow", "deadlines.slow_async"])
def test_a_deadline_cuts_the_running_attempt_and_no_other_follows(bench: Bench, kind: str) -> None:
    one = jobs.submit(kind, deadline=1.5).id
    dead = bench.until(one, "dead", "retryable")
    assert (dead.state, dead.attempt) == ("dead", 1)
    letter = DeadLetter.objects.get()
    assert (letter.error_class, letter.message) == ("JobTimeout", "the attempt ran past its job's deadline")


def test_an_attempt_that_would_begin_after_the_deadline_is_not_waited_for(bench: Bench) -> None:
    assert bench.until(jobs.submit("deadlines.fails", deadline=20.0).id, "dead", "retryable").state == "dead"
    assert (
        bench.until(jobs.submit("deadlines.fails", deadline=600.0).id, "dead", "retryable").state
        == "retryable"
    )


def test_one_that_waits_at_its_deadline_is_discarded_though_it_has_begun_before(bench: Bench) -> None:
    one = jobs.submit("deadlines.fails", deadline=soon(600)).id
    bench.until(one, "retryable")
    assert in_an_hour() == 1
    assert closed(one) == ("discarded", "its deadline has passed", 1)


def test_a_gate_that_finds_the_attempt_gone_lets_nobody_in() -> None:
    one = jobs.submit("test.echo", expires_at=soon()).id
    (held,) = take(make_worker(), one)
    held.attempt += 1
    verdict = Gate().enter(held)
    assert isinstance(verdict, Settled)


@pytest.mark.parametrize(
    ("given", "field", "word"),
    [
        ({"expires_at": soon(-60)}, "expires_at", "in the past"),
        ({"expires_at": datetime(2100, 1, 1)}, "expires_at", "no time zone"),  # noqa: DTZ001 - what is refused
        ({"expires_at": "tomorrow"}, "expires_at", "must be a date"),
        ({"expires_at": soon(5000), "scheduled_at": soon(9000)}, "expires_at", "later than scheduled_at"),
        ({"deadline": soon(-60)}, "deadline", "in the past"),
        ({"deadline": 30, "scheduled_at": soon(9000)}, "deadline", "later than scheduled_at"),
        ({"deadline": 0}, "deadline", "above 0"),
        ({"deadline": float("nan")}, "deadline", "above 0"),
        ({"deadline": True}, "deadline", "number of seconds"),
    ],
)
def test_times_that_make_no_sense_are_refused(given: dict[str, Any], field: str, word: str) -> None:
    with pytest.raises(InvalidSubmission, match=word) as caught:
        jobs.submit("test.echo", **given)
    assert caught.value.field == field
    assert not Job.objects.exists()


def test_a_letter_whose_deadline_has_passed_runs_when_an_operator_says_so(bench: Bench) -> None:
    """It died because of the deadline, and died for good if that held for its replay as well."""
    one = jobs.submit("deadlines.second_time", deadline=1.5).id
    bench.until(one, "dead")
    options = Job.objects.get(pk=one).options
    run = deadletters.preview(Actor(), "replay", {})
    lifted = "The deadline of 1 job has passed; it is lifted, so that they run nevertheless."
    eventually(lambda: lifted in describe(run).sentences)
    deadletters.confirm(Actor(), run.pk, digest=run.digest, reason="late is better than never")
    assert Job.objects.get(pk=one).options is None
    steering.undo(Actor(), run.pk, reason="not yet")
    assert Job.objects.get(pk=one).options == options == {"deadline": 1.5}
    consistent()
    deadletters.replay(Actor(), [one], reason="now")
    assert bench.until(one, "completed", "discarded", "dead").state == "completed"


def test_a_deadline_that_is_still_to_come_stays_with_a_replay(bench: Bench) -> None:
    one = jobs.submit("deadlines.fails", deadline=soon(20)).id
    bench.until(one, "dead")
    run = deadletters.preview(Actor(), "replay", {})
    assert not any("deadline of" in sentence for sentence in describe(run).sentences)
    deadletters.replay(Actor(), [one], reason="again")
    assert in_an_hour() == 1
    assert closed(one)[:2] == ("discarded", "its deadline has passed")
