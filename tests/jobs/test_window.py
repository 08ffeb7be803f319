"""The worker's cache: it keeps the order of the database's heads, survives stale entries, decides nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobs
from jobs import JobSpec, control
from jobs import lines as module
from jobs import window as window_module
from jobs.control import Actor
from jobs.core.priority_queue import IndexedPriorityQueue
from jobs.models import Queue, Ready
from jobs.store.claiming import claim
from jobs.store.moving import promote
from jobs.window import DatabaseClock, Window
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.jobs.ground import make_worker, take

pytestmark = pytest.mark.django_db

# In the future for as long as a test run may take.
LATER_US = int(time.time() + 86_400) * 1_000_000


@pytest.fixture
def window(db: None) -> Window:
    return Window(queues=["test"], kinds=["test.echo"], horizon=3.0)


def submit(*priorities: int, **options: Any) -> list[int]:
    specs = [JobSpec(kind="test.echo", priority=p, **options) for p in priorities]
    return [one.id for one in jobs.submit_many(specs)]


def test_candidates_come_in_the_order_of_ranks(window: Window, cursor: Any) -> None:
    ids = submit(0, 5, -5, 5, 0)
    window.poll(cursor)
    best = [ids[1], ids[3], ids[0], ids[4], ids[2]]
    assert window.candidates(10) == best
    assert window.candidates(2) == best[:2]
    assert window.candidates(0) == []
    assert len(window) == 5  # asking takes nothing


def test_only_its_queues_and_kinds_are_seen_and_no_paused_one(cursor: Any) -> None:
    mine, other_queue = submit(0)[0], submit(0, queue="other")[0]
    other_kind = jobs.submit("test.async").id
    Ready.objects.filter(job=other_kind).update(kind="unknown.here")

    def seen(*queues: str) -> set[int]:
        one = Window(queues=queues, kinds=["test.echo"], horizon=3.0)
        one.poll(cursor)
        return set(one.candidates(10))

    assert seen("test") == {mine}
    assert seen() == {mine, other_queue}
    Queue.objects.filter(pk="test").update(paused_at=datetime.now(UTC))
    assert seen() == {other_queue}


def test_a_refill_forgets_what_the_database_no_longer_says(window: Window, cursor: Any) -> None:
    first, second = submit(0, 0)
    window.poll(cursor)
    control.cancel(Actor(), [first])
    window.refill(cursor)
    assert window.candidates(10) == [second]


def test_a_peek_sees_new_jobs_and_new_ranks_but_keeps_stale_entries(window: Window, cursor: Any) -> None:
    first, second = submit(0, 0)
    window.poll(cursor)
    control.set_priority(Actor(), [second], 9)
    (third,) = submit(20)
    control.cancel(Actor(), [first])
    window.peek(cursor)
    assert window.candidates(10) == [third, second, first]


def test_a_stale_entry_costs_a_round_trip_and_no_wrong_run(window: Window, cursor: Any) -> None:
    gone, there = submit(5, 0)
    window.poll(cursor)
    control.cancel(Actor(), [gone])
    candidates = window.candidates(2)
    assert candidates == [gone, there]
    got = claim(cursor, worker_id=make_worker(), candidates=candidates, limit=2)
    assert [job.id for job in got.jobs] == [there]
    assert window.claimed(candidates, [there], 2) == 1
    assert len(window) == 0


def test_what_stood_before_the_last_one_taken_is_in_other_hands(window: Window, cursor: Any) -> None:
    ids = submit(*[0] * 10)
    window.poll(cursor)
    take(make_worker(), *ids[:3])
    window._lines._contended = 4
    candidates = window.candidates(2)
    assert candidates == ids[:6]  # more than there is room for, because others take from the same end
    got = claim(cursor, worker_id=make_worker(), candidates=candidates, limit=2)
    assert sorted(job.id for job in got.jobs) == ids[3:5]  # the best that were free
    assert window.claimed(candidates, [job.id for job in got.jobs], 2) == 3
    assert window.candidates(1)[0] == ids[5]  # was a candidate, was not needed, is kept


def test_contention_widens_the_look_and_calm_narrows_it(window: Window, cursor: Any) -> None:
    ids = submit(*[0] * 30)
    window.poll(cursor)
    assert len(window.candidates(4)) == 4
    assert window.claimed(ids[:4], [], 4) == 4
    assert len(window.candidates(4)) == 4 + 8
    for left in (4, 2, 1, 0):
        candidates = window.candidates(1)
        window.claimed(candidates, candidates[:1], 1)
        assert window._lines._contended == left


def test_contention_is_bounded(window: Window) -> None:
    heap = window._lines._heaps["test"] = IndexedPriorityQueue()
    for number in range(3_000):
        heap.push(number, (number, number))
        window._lines._queue_of[number] = "test"
    assert window.claimed(list(range(3_000)), [], 3_000) == 3_000
    assert window._lines._contended == module.CONTENDED_AT_MOST


def test_memory_does_not_grow_with_the_backlog(
    window: Window, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_AT_MOST", 5)
    ids = submit(*[0] * 12)
    window.poll(cursor)
    assert len(window) == 5
    assert window.more_in_database
    take(make_worker(), *ids[:10])
    window.refill(cursor)
    assert window.candidates(10) == ids[10:]
    assert not window.more_in_database


def test_timers_fire_in_order_and_not_before_their_time(window: Window, cursor: Any) -> None:
    now = datetime.now(UTC)
    late, soon = (
        jobs.submit("test.echo", scheduled_at=now + timedelta(seconds=seconds)).id for seconds in (0.6, 0.3)
    )
    far = jobs.submit("test.echo", scheduled_at=now + timedelta(days=30)).id
    window.poll(cursor)
    assert window.due() == ([], False)
    wait = window.seconds_until_due()
    assert wait is not None
    assert 0 < wait <= 0.3
    # The window's clock is moved on instead of waiting.
    window.clock._since -= 0.31
    assert window.due() == ([soon], False)
    window.clock._since -= 0.3
    assert window.due() == ([late], False)
    assert window.due() == ([], False)
    assert far not in window._wheel  # type: ignore[operator]


def later(*milliseconds: int) -> list[int]:
    """Jobs due so long after a moment of tomorrow."""
    moment = datetime.fromtimestamp(LATER_US / 1_000_000, UTC)
    specs = [
        JobSpec(kind="test.echo", scheduled_at=moment + timedelta(milliseconds=wait)) for wait in milliseconds
    ]
    return [one.id for one in jobs.submit_many(specs)]


class StillClock:
    """Stands at so many milliseconds after the moment of `later`."""

    def __init__(self, milliseconds: float) -> None:
        self.milliseconds = milliseconds

    def read(self, _: Any) -> int:
        return self.now_us()

    def now_us(self) -> int:
        return LATER_US + int(self.milliseconds * 1_000)


@pytest.fixture
def clock(window: Window) -> StillClock:
    window.clock = StillClock(-1_000)  # type: ignore[assignment]
    return window.clock  # type: ignore[return-value]


def test_a_look_ahead_is_bounded_and_goes_onward_without_leaving_anything_out(
    window: Window, clock: StillClock, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where more is due at one moment than a look takes."""
    monkeypatch.setattr(window_module, "SOON_AT_MOST", 3)
    ids = later(0, 0, 0, 0, 0, 10, 1_500)
    window.look_for_new(cursor)
    assert len(window._timers) == 3
    assert not window.must_look_onward()  # what it saw is not nearly over
    clock.milliseconds = 100
    fired, looks = window.due()[0], 0
    while window.must_look_onward():
        looks += 1
        window.look_onward(cursor)
        clock.milliseconds += 10
        fired += window.due()[0]
    assert fired == ids[:6]
    assert looks == 2
    clock.milliseconds = 1_500
    assert window.due()[0] == ids[6:]


def test_a_new_job_before_what_is_known_is_seen_by_the_quick_look(
    window: Window, clock: StillClock, cursor: Any
) -> None:
    (late,) = later(500)
    window.look_ahead(cursor)
    (early,) = later(0)
    window.look_for_new(cursor)
    clock.milliseconds = 1_000
    assert window.due()[0] == [early, late]


def test_what_becomes_due_within_a_few_milliseconds_fires_together(
    window: Window, clock: StillClock, cursor: Any
) -> None:
    ids = later(0, 2, 4)
    window.look_ahead(cursor)
    clock.milliseconds = 0
    assert window.due()[0] == ids[:1]
    clock.milliseconds = 3
    assert window.due()[0] == []
    assert window.seconds_until_due() == 0.002
    clock.milliseconds = 5
    assert window.due()[0] == ids[1:]


def test_a_clock_that_steps_back_holds_nothing_up(window: Window, clock: StillClock, cursor: Any) -> None:
    (first, second) = later(0, 1)
    window.look_ahead(cursor)
    clock.milliseconds = 0
    assert window.due()[0] == [first]
    clock.milliseconds = -3_600_000
    clock.milliseconds = 1
    assert window.due()[0] == []  # together with what comes
    clock.milliseconds = 6
    assert window.due()[0] == [second]


def test_what_was_promoted_here_needs_no_look(window: Window, cursor: Any) -> None:
    (job,) = later(0)
    window.poll(cursor)
    assert window.promoted(promote(cursor, [job], anyway=True))
    assert window.candidates(5) == [job]
    assert job not in window._timers
    elsewhere = jobs.submit(
        "test.echo", queue="other", scheduled_at=datetime.now(UTC) + timedelta(hours=1)
    ).id
    assert window.promoted(promote(cursor, [elsewhere], anyway=True))
    assert window.candidates(5) == [job]


def test_where_only_a_part_is_known_a_promotion_needs_a_look(
    window: Window, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody better may wait between the last that is known and the new one."""
    monkeypatch.setattr(module, "READY_AT_MOST", 2)
    submit(0, 0, 0)
    (job,) = later(0)
    window.poll(cursor)
    assert not window.promoted(promote(cursor, [job], anyway=True))
    assert job not in window.candidates(5)


def test_without_timers_nothing_is_waited_for(window: Window, cursor: Any) -> None:
    assert window.due() == ([], False)
    assert window.seconds_until_due() is None
    window.poll(cursor)
    assert window.seconds_until_due() is None


def test_the_clock_is_the_databases_and_never_ahead_of_it(cursor: Any) -> None:
    clock = DatabaseClock()
    read = clock.read(cursor)
    assert abs(read / 1_000_000 - time.time()) < 5
    estimate = clock.now_us()
    assert read <= estimate <= clock.read(cursor)
