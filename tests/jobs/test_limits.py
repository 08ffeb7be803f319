"""What is limited or paused does not run and holds up nothing else; operators rearrange what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection

import jobs
from jobs import control, lines, queue_steering, rearranging
from jobs.control import Actor
from jobs.database import django_cursor, in_transaction, open_connection
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.models import Job, OperatorAction, PausedKind, Permit, Queue, Ready
from jobs.states import State
from jobs.store.limiting import release
from jobs.worker import CHANNELS
from notifications.doorbell import Listener
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, in_state, make_worker, take, told
from tests.jobs.limited import ACTOR, change, look, submit
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bench_of(transactional_db: None) -> Iterator[Callable[..., Bench]]:
    kinds.GATE.clear()
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# -- limits through a worker -------------------------------------------------------------------------------------------


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


# -- what operators change while jobs wait -----------------------------------------------------------------------------


def in_heaps(benches: list[Bench]) -> list[list[int]]:
    """What each worker would take next, after the rounds that one second holds."""
    for one in benches:
        one.scheduler.control()  # the bell of an operator's action; without it the poll of the second does the same
        one.scheduler._look()
    return [one.scheduler._window.candidates(10) for one in benches]


def test_changes_are_in_the_row_and_in_every_heap(bench_of: Callable[..., Bench]) -> None:
    first, second, third = submit(3, queue="a")
    benches = [bench_of(queues=("a",), name=str(n)) for n in range(3)]
    assert in_heaps(benches) == [[first, second, third]] * 3
    control.set_priority(ACTOR, [third], 50)
    assert in_heaps(benches) == [[third, first, second]] * 3
    rearranging.move(ACTOR, [first], "b", reason="slow")
    assert in_heaps(benches) == [[third, second]] * 3
    rearranging.reschedule(ACTOR, [third], datetime.now(UTC) + timedelta(hours=2))
    assert in_heaps(benches) == [[second]] * 3
    control.cancel(ACTOR, [second])
    assert in_heaps(benches) == [[]] * 3
    rearranging.move(ACTOR, [first], "a")
    control.run_now(ACTOR, [third])
    assert in_heaps(benches) == [[third, first]] * 3
    consistent()


def heard_from(listener: Listener) -> None:
    heard = set[str]()

    def all_of_them() -> bool:
        heard.update(listener.drain())
        return heard == set(CHANNELS)

    eventually(all_of_them)


def test_every_change_of_what_waits_rings_for_the_workers() -> None:
    """On the channels they listen to."""
    ids = submit(4, queue="a")
    at = datetime.now(UTC) + timedelta(hours=1)
    acts: list[Callable[[], Any]] = [
        lambda: control.set_priority(ACTOR, ids[:1], 5),
        lambda: rearranging.move(ACTOR, ids[1:2], "b"),
        lambda: rearranging.reschedule(ACTOR, ids[2:3], at),
        lambda: control.cancel(ACTOR, ids[3:]),
        lambda: queue_steering.pause_kind(ACTOR, "test.echo"),
        lambda: queue_steering.change_queue(ACTOR, "a", max_running=1),
    ]
    listener = Listener(CHANNELS)
    try:
        for act in acts:
            listener.drain()
            act()
            heard_from(listener)
    finally:
        listener.close()


def test_a_worker_that_nobody_rings_sees_a_change_with_its_next_poll(bench_of: Callable[..., Bench]) -> None:
    first, second = submit(2, "test.gated", queue="a")
    bench = bench_of(queues=("a",), concurrency=1)
    eventually(lambda: bench.scheduler.tick().claimed)
    rearranging.move(ACTOR, [second], "b")

    def gone() -> bool:
        bench.scheduler.tick()
        return len(bench.scheduler._window) == 0

    eventually(gone, timeout=2.5)
    assert Job.objects.get(pk=first).state == "running"


def test_a_moved_job_keeps_its_age_and_takes_the_new_queues_order(bench_of: Callable[..., Bench]) -> None:
    change("limits", key_max_running=1, ageing_seconds=None)
    (job,) = submit(1, queue="a", priority=5, concurrency_key="k")
    before = Job.objects.get(pk=job)
    rearranging.move(Actor(name="olga"), [job], "limits", reason="why")
    after, ready = Job.objects.get(pk=job), Ready.objects.get(pk=job)
    assert (after.ready_at, after.queue) == (before.ready_at, "limits")
    assert (ready.queue, ready.key) == ("limits", "k")
    assert ready.rank < 0, "strict priority there"
    action = OperatorAction.objects.latest("pk")
    assert (action.action, action.actor_name, action.before, action.after) == (
        "move", "olga", {"queue": "a"}, {"queue": "limits"},
    )  # fmt: skip
    assert told("job.moved")[0][2]["before"] == "a"
    consistent()


@pytest.mark.parametrize("state", [State.BLOCKED, State.SCHEDULED, State.AVAILABLE])
def test_whatever_waits_can_be_moved_and_rescheduled(state: State) -> None:
    job = in_state(state)
    at = datetime.now(UTC) + timedelta(hours=3)
    assert rearranging.move(ACTOR, [job], "elsewhere").done == [job]
    assert rearranging.reschedule(ACTOR, [job], at).done == [job]
    found = Job.objects.get(pk=job)
    assert (found.queue, found.scheduled_at) == ("elsewhere", at)
    assert found.state == (State.BLOCKED if state is State.BLOCKED else State.SCHEDULED)
    assert told("job.rescheduled")[0][2]["at"] == at.isoformat()
    consistent()


def test_what_does_not_wait_is_refused_with_its_state() -> None:
    jobs_ = [in_state(State.RUNNING), in_state(State.DEAD), in_state(State.COMPLETED)]
    at = datetime.now(UTC) + timedelta(hours=3)
    for result in (rearranging.move(ACTOR, jobs_, "x"), rearranging.reschedule(ACTOR, jobs_, at)):
        assert result.done == []
        assert [one.reason.split(";")[0].split()[-1] for one in result.refused] == [
            "running",
            "dead",
            "completed",
        ]


def test_wrong_times_and_names_are_refused_and_leave_nothing() -> None:
    job = in_state(State.SCHEDULED)
    for at in (datetime.now(UTC) - timedelta(seconds=1), datetime(2030, 1, 1)):  # noqa: DTZ001 - has no zone, on purpose
        with pytest.raises(InvalidSubmission):
            rearranging.reschedule(ACTOR, [job], at)
    with pytest.raises(InvalidSubmission):
        rearranging.move(ACTOR, [job], "no queue")
    with pytest.raises(NotFound):
        queue_steering.change_queue(ACTOR, "nowhere", weight=2)
    assert not OperatorAction.objects.exists()
    assert connection.in_atomic_block is False
