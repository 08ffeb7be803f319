"""What is limited or paused does not run and holds up nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import jobs
from jobs import lines, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor, in_transaction, open_connection
from jobs.errors import ActionRefused, InvalidSubmission
from jobs.models import Job, OperatorAction, PausedKind, Permit, Queue, Ready
from jobs.store.limiting import release
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, make_worker, take, told
from tests.jobs.limited import ACTOR, change, look, submit
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_keeps_the_limit_and_runs_the_others_meanwhile(bench_of: Callable[..., Bench]) -> None:
    change("narrow", max_running=2)
    held = submit(6, "test.gated", queue="narrow")
    free = submit(20, queue="wide")
    bench = bench_of(queues=(), concurrency=8)

    def others_done() -> bool:
        bench.round()
        assert Job.objects.filter(pk__in=held, state="running").count() <= 2
        return Job.objects.filter(pk__in=free, state="completed").count() == len(free)

    eventually(others_done)
    assert Permit.objects.count() == 2
    kinds.GATE.set()

    def all_done() -> bool:
        bench.round()
        return not Job.objects.exclude(state="completed").exists()

    eventually(all_done)
    assert not Permit.objects.exists()
    consistent()


def test_a_limit_of_a_queue_that_was_made_first_holds_for_its_first_jobs(
    bench_of: Callable[..., Bench],
) -> None:
    queue_steering.create_queue(ACTOR, "narrow", max_running=1)
    held = submit(3, "test.gated", queue="narrow")
    free = submit(5, queue="wide")
    bench = bench_of(queues=(), concurrency=8)

    def others_done() -> bool:
        bench.round()
        return Job.objects.filter(pk__in=free, state="completed").count() == len(free)

    eventually(others_done)
    assert Job.objects.filter(pk__in=held, state="running").count() == 1
    consistent()


def test_a_queue_is_made_once_and_a_submission_under_way_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    queue_steering.create_queue(ACTOR, "fresh", weight=3)
    with pytest.raises(ActionRefused, match='There is a queue "fresh" already'):
        queue_steering.create_queue(ACTOR, "fresh", weight=5)
    assert Queue.objects.get(pk="fresh").weight == 3
    assert OperatorAction.objects.count() == 1
    for name in ("", "no name", "x" * 101, 7):
        with pytest.raises(InvalidSubmission, match="name"):
            queue_steering.create_queue(ACTOR, name)  # type: ignore[arg-type]
    with pytest.raises(InvalidSubmission, match="no such setting"):
        queue_steering.create_queue(ACTOR, "other", colour="red")
    monkeypatch.setattr(queue_steering, "_PATIENCE", "SET LOCAL lock_timeout = '200ms'")
    with open_connection("test submitter") as submitter:
        submitter.autocommit = False
        submitter.execute("INSERT INTO jobs_queue (name, description) VALUES ('slow', '')")
        with pytest.raises(ActionRefused, match="A submission is making this queue"):
            queue_steering.create_queue(ACTOR, "slow", max_running=1)
        submitter.rollback()
    assert queue_steering.create_queue(ACTOR, "slow", max_running=1).max_running == 1


def test_a_freed_place_is_taken_without_a_poll(bench_of: Callable[..., Bench]) -> None:
    change("narrow", max_running=1)
    ids = submit(5, queue="narrow")
    bench = bench_of(queues=("narrow",))
    bench.scheduler.tick()
    bench.scheduler._polled += 3600.0

    def done() -> bool:
        bench.scheduler.tick()
        return Job.objects.filter(pk__in=ids, state="completed").count() == len(ids)

    eventually(done)


def test_freed_places_are_counted_in_a_pipe_too(bench_of: Callable[..., Bench]) -> None:
    """A worker records in one; what it counts decides whether the others are told."""
    bench = bench_of()
    change("test", max_running=5)
    ids = submit(3)
    for number in (1, 2, 3):
        Permit.objects.create(job_id=ids[number - 1], queue="test", attempt=1, worker_id=7)
    for piped, some, freed in ((True, ids[:2], 2), (True, ids[:2], 0), (False, ids, 1)):
        assert in_transaction(bench.connection, partial(release, jobs=some), piped=piped) == freed


def test_a_used_up_key_at_the_head_hides_nobody_and_is_not_read() -> None:
    change("narrow", key_max_running=1)
    first = submit(1, queue="narrow", concurrency_key="busy")
    with django_cursor() as cursor:
        from jobs.store.claiming import claim

        claim(cursor, worker_id=make_worker(), candidates=first, limit=1, limited={first[0]: "narrow"})
    submit(3_000, queue="narrow", concurrency_key="busy", priority=100)
    other = submit(2, queue="narrow", concurrency_key="other")
    without = submit(2, queue="narrow")
    window = look()
    assert set(window.candidates(10)) == {other[0], *without}
    assert len(window) == 3


def test_more_keys_than_a_look_takes_come_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "KEYS_AT_MOST", 4)
    change("narrow", key_max_running=1)
    for number in range(10):
        submit(1, queue="narrow", concurrency_key=f"k{number}")
    window, seen = look(), set[int]()
    with django_cursor() as cursor:
        for _ in range(4):
            assert len(window) <= 4
            seen |= set(window.candidates(10))
            window.refill(cursor)
    assert len(seen) == 10


def test_unknown_and_paused_kinds_in_front_hide_nobody() -> None:
    submit(50, "test.async", priority=100)
    mine = submit(2)
    assert look().candidates(10) == mine
    Ready.objects.filter(kind="test.async").update(kind="test.echo")
    ids = look().candidates(100)
    queue_steering.pause_kind(ACTOR, "test.echo", reason="wrong figures")
    assert len(look()) == 0
    assert take(make_worker(), *ids) == [], "also of a worker that has them in its heap"
    queue_steering.resume_kind(ACTOR, "test.echo")
    assert len(look()) == 52


def test_a_paused_kind_is_recorded_and_told_and_refused_twice() -> None:
    queue_steering.pause_kind(Actor(name="olga"), "test.echo", reason="why")
    with pytest.raises(jobs.errors.ActionRefused):
        queue_steering.pause_kind(ACTOR, "test.echo")
    assert PausedKind.objects.get().paused_by == "olga"
    queue_steering.resume_kind(ACTOR, "test.echo")
    with pytest.raises(jobs.errors.ActionRefused):
        queue_steering.resume_kind(ACTOR, "test.echo")
    assert [action.action for action in OperatorAction.objects.order_by("pk")] == ["pause", "resume"]
    assert len(told("kind.paused")) == len(told("kind.resumed")) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_running", 0), ("rate", 1.5), ("rate_seconds", 0), ("rate_seconds", None), ("weight", 101), ("weight", None),
     ("key_max_running", "1"), ("key_rate", True), ("key_rate_burst", -1), ("no_such", 1)],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(setting: str, value: Any) -> None:
    Queue.objects.create(pk="narrow")
    with pytest.raises(InvalidSubmission) as refused:
        queue_steering.change_queue(ACTOR, "narrow", **{setting: value})
    assert refused.value.field == setting
    assert not OperatorAction.objects.exists()
