"""Jobs that lose their workers: they are found out, and the good ones that were taken with them are not blamed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

import jobs
from jobs import control
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.models import Attempt, Begun, DeadLetter, Job, WorkerProcess
from jobs.registry import job
from jobs.running.gate import Gate
from jobs.store import statements, workers
from jobs.store.timing import begin_attempt
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, make_worker, take, told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _tables_agree(transactional_db: None) -> Iterator[None]:
    yield
    consistent()


def lose_all(worker_id: int, *, most: int = 3) -> int:
    """The worker is gone; the others rescue what it held."""
    WorkerProcess.objects.filter(pk=worker_id).update(state="lost")
    with django_cursor() as cursor:
        return workers.rescue_orphans(cursor, max_losses=most)


def round_of(ids: list[int], begun: int) -> None:
    """A worker takes all of them, begins one, and is lost."""
    worker = make_worker()
    held = {one.id: one for one in take(worker, *ids)}
    with django_cursor() as cursor:
        assert begin_attempt(cursor, held[begun]) is not None
    assert lose_all(worker) == len(ids)


def test_the_third_loss_is_a_dead_letter_and_the_others_of_its_batches_keep_their_attempts() -> None:
    good = [jobs.submit("test.echo", max_attempts=1).id for _ in range(3)]
    bad = jobs.submit("test.echo", max_attempts=1).id
    for _ in range(3):
        round_of([bad, *good], bad)
    letter = DeadLetter.objects.get()
    assert (letter.pk, letter.error_class, letter.fingerprint) == (bad, "WorkerLost", "worker_lost")
    assert "it has lost 3 workers" in letter.message
    assert list(Attempt.objects.filter(job=bad).values_list("number", "outcome")) == [
        (n, "lost") for n in (1, 2, 3)
    ]
    for one in Job.objects.filter(pk__in=good):
        assert (one.state, one.options) == ("available", {"losses": 1}), "only the first loss leaves a doubt"
        assert one.max_attempts - one.attempt == 1, "what they may try they still may"
    assert [item[2]["losses"] for item in told("job.dead")] == [3]
    for claimed in take(make_worker(), *good):
        assert claimed.attempt <= claimed.max_attempts


def test_without_the_marks_the_good_ones_die_with_the_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    real = statements.statement
    guard = "WHERE b.job_id = j.id AND b.attempt = j.attempt"
    assert guard in real("rescue")
    monkeypatch.setattr(
        statements,
        "statement",
        lambda name: (
            real(name).replace("NOT EXISTS (", "NOT EXISTS (SELECT 1 UNION ALL")
            if name == "rescue"
            else real(name)
        ),
    )
    good, bad = jobs.submit("test.echo").id, jobs.submit("test.echo").id
    for _ in range(3):
        round_of([bad, good], bad)
    assert set(DeadLetter.objects.values_list("pk", flat=True)) == {bad, good}


def test_the_number_of_losses_can_be_set() -> None:
    one = jobs.submit("test.echo").id
    worker = make_worker()
    take(worker, one)
    lose_all(worker, most=1)
    assert Job.objects.get(pk=one).state == "dead"


def test_zero_means_that_losses_are_not_counted() -> None:
    one = jobs.submit("test.echo", max_attempts=1).id
    for number in range(1, 6):
        worker = make_worker()
        assert [job.attempt for job in take(worker, one)] == [number]
        lose_all(worker, most=0)
    assert (Job.objects.get(pk=one).state, Job.objects.get(pk=one).options) == ("available", None)


def test_a_replay_forgives_the_losses() -> None:
    one = jobs.submit("test.echo").id
    for _ in range(3):
        round_of([one], one)
    assert control.replay(Actor(), [one], reason="mended").done == [one]
    found = Job.objects.get(pk=one)
    assert (found.state, found.options) == ("available", None)
    round_of([one], one)
    assert Job.objects.get(pk=one).state == "available"


def test_a_mark_of_an_earlier_attempt_says_nothing() -> None:
    one = jobs.submit("test.echo").id
    for _ in range(2):
        round_of([one], one)
    worker = make_worker()
    take(worker, one)  # not begun this time
    lose_all(worker)
    found = Job.objects.get(pk=one)
    assert (found.state, found.options, found.attempt) == ("available", {"losses": 2}, 3)


def test_jobs_under_suspicion_begin_one_after_the_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.running.gate.HEAD_START", 30.0)
    ids = [jobs.submit("losses.held").id for _ in range(2)]
    worker = make_worker()
    take(worker, *ids)
    lose_all(worker)
    HELD.clear()
    try:
        bench.round()
        assert INSIDE.acquire(timeout=10)
        assert not INSIDE.acquire(timeout=0.5), "two at once cannot be told apart"
        assert Begun.objects.count() == 1
    finally:
        HELD.set()
    for one in ids:
        assert bench.until(one, "completed").attempt == 2


def test_one_that_lives_long_does_not_hold_the_others_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.running.gate.HEAD_START", 0.05)
    ids = [jobs.submit("test.echo").id for _ in range(2)]
    worker = make_worker()
    take(worker, *ids)
    lose_all(worker)
    first, second = take(make_worker(), *ids)
    gate = Gate()
    assert gate.enter(first) is None
    assert gate.enter(second) is None
    gate.leave(second)
    gate.leave(first)
    assert gate.enter(second) is None
    gate.leave(second)


HELD = threading.Event()
INSIDE = threading.Semaphore(0)


@job("losses.held", queue="test")
def held(ctx: Any, payload: dict[str, Any]) -> None:
    INSIDE.release()
    HELD.wait(20)


# -- the last number there is ------------------------------------------------------------------------------------------


def test_a_job_that_has_used_up_every_number_is_not_replayed_and_harms_nobody() -> None:
    one = jobs.submit("test.echo").id
    worker = make_worker()
    take(worker, one)
    lose_all(worker, most=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET attempt = 31999, max_attempts = 31999 WHERE id = %s", [one])
    assert control.replay(Actor(), [one], reason="once more", attempts=1000).done == [one]
    worker = make_worker()
    (claimed,) = take(worker, one)
    assert (claimed.attempt, claimed.max_attempts) == (32_000, 32_000)
    lose_all(worker)
    assert Job.objects.get(pk=one).state == "dead", "no number is left for another attempt"
    (refusal,) = control.replay(Actor(), [one], reason="and once more").refused
    assert refusal.reason == f"job {one} has used up the 32,000 attempts that a job can have"
    assert Job.objects.get(pk=one).state == "dead"
