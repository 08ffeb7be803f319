"""What operators change while jobs wait: it is in the row and in every worker's heap, recorded, told, and rung for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from jobs import control, queue_steering, rearranging
from jobs.control import Actor
from jobs.errors import InvalidSubmission, NotFound
from jobs.models import Job, OperatorAction, Ready
from jobs.states import State
from jobs.worker import CHANNELS
from notifications.doorbell import Listener
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, in_state, told
from tests.jobs.limited import ACTOR, change, submit
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


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
