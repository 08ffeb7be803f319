"""Looks that have become slow begin where the last one found something, and the others come seldom, but they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import jobs
from jobs import heads, queue_steering, steering
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.division import Part
from jobs.heads import AT_MOST, EMPTY_AT_MOST, LOOKS, PAUSE, SHARE, SLOW, Heads
from jobs.models import Ready
from tests.jobs.conftest import Bench
from tests.jobs.heads.conftest import KINDS, Clock, slow_down, submit

pytestmark = pytest.mark.django_db(transaction=True)

ME = Actor(name="me")


def test_fast_looks_pass_over_nothing(seen: Callable[[], list[int]], looks: Heads, clock: Clock) -> None:
    first = submit(0)
    slow_down(clock, seen, SLOW / 2)
    urgent = submit(50)
    assert seen() == [*urgent, *first]
    assert looks.owed_in() is None


def test_one_slow_look_among_fast_ones_changes_nothing(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    """It may have waited for the processor."""
    first = submit(0)
    slow_down(clock, seen, SLOW / 2)
    clock.takes = 1.0
    seen()
    urgent = submit(50)
    assert seen() == [*urgent, *first]
    assert looks.owed_in() is None


@pytest.mark.parametrize("short", [1.9 * SLOW, SLOW / 10])
def test_looks_for_a_part_are_slow_only_where_the_others_are_faster(
    clock: Clock, transactional_db: None, short: float
) -> None:
    """They read more, which takes long from anywhere; dead rows are passed over as ever."""
    looks = Heads(queues=["test"], kinds=KINDS)
    clock.takes, clock.short = 1.9 * SLOW, short
    with django_cursor() as cursor:
        for _ in range(3 * LOOKS):
            clock.now += SLOW
            looks.read(cursor, 10, Part(0, 2))
    assert looks.slow is (short < SLOW)


def test_slow_looks_begin_where_the_last_one_found_something(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    first = submit(0, 0)
    slow_down(clock, seen)
    assert looks.owed_in() is None
    urgent, later, other = submit(50), submit(0), submit(0, kind="test.async")
    assert seen() == [*first, *later]
    assert looks.owed_in() == pytest.approx(0.02 / SHARE - clock.short)
    Ready.objects.filter(job__in=first).delete()
    assert seen() == later

    clock.now += 0.02 / SHARE
    assert looks.owed_in() == 0.0
    assert sorted(seen()) == sorted([*urgent, *later, *other])
    assert looks.owed_in() is None
    assert sorted(seen()) == sorted([*urgent, *later, *other])


def test_far_from_the_database_nothing_is_passed_over(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    """Every look takes long there, and a shorter one is none."""
    first = submit(0)
    clock.short = 0.04
    slow_down(clock, seen, 0.05)
    urgent = submit(50)
    assert seen() == first  # which shows that it gains nothing
    assert looks.owed_in() == 0.0
    for _ in range(3):
        assert seen() == [*urgent, *first]
        assert looks.owed_in() is None
    assert not looks.slow


def test_the_look_from_the_beginning_comes_at_last(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    submit(0)
    slow_down(clock, seen, AT_MOST / PAUSE)
    urgent = submit(50)
    assert urgent[0] not in seen()
    clock.now += AT_MOST
    assert urgent[0] in seen()


def test_looks_that_take_seconds_leave_most_of_the_time_to_the_others(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    submit(0)
    slow_down(clock, seen, 4.0)
    seen()
    assert looks.owed_in() == pytest.approx(PAUSE * 4.0 - clock.short)


def test_a_look_that_the_database_gave_up_is_not_made_again_at_once(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    """Nothing would start for as long as a transaction holds the horizon, and the connection is lost each time."""
    first = submit(0)
    slow_down(clock, seen)
    clock.now += AT_MOST
    clock.takes, clock.most = 10.0, 6.4
    with pytest.raises(psycopg.errors.QueryCanceled):
        seen()
    for _ in range(3):
        assert seen() == first
    urgent = submit(50)
    clock.takes = 0.02
    assert seen() == first
    assert 0.0 < (looks.owed_in() or 0.0) <= PAUSE * 6.4
    clock.now += PAUSE * 6.4
    assert seen() == [*urgent, *first]


def test_a_lane_that_was_emptied_is_still_looked_at(
    seen: Callable[[], list[int]], looks: Heads, clock: Clock
) -> None:
    first = submit(0)
    assert seen() == first
    Ready.objects.all().delete()
    slow_down(clock, seen)
    later = submit(0)
    assert seen() == later


Row = tuple[str, str, list[int], list[int], int, int, int]


def lanes_of(*numbers: int) -> list[Row]:
    """As the statement gives them: a job in each."""
    return [(f"tenant {number}", KINDS[0], [number], [number], number, number, 1) for number in numbers]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[..., set[int]]:
    """A look that finds these lanes; where it passes something over: the lanes it looked at."""
    looks = Heads(queues=[], kinds=KINDS)
    cursor: Any = None
    found: list[Row] = []
    asked: list[str] = []

    def rows(_: Any, name: str, params: dict[str, Any]) -> list[Row]:
        clock.now += clock.takes if name == "ready_heads" else clock.short
        asked[:] = params.get("queues", [])
        return found

    def look(*numbers: int) -> set[int]:
        found[:] = lanes_of(*numbers)
        assert [lane[:4] for lane in looks.read(cursor, 10)] == [row[:4] for row in found]
        return {int(queue.removeprefix("tenant ")) for queue in asked}

    monkeypatch.setattr(heads, "rows", rows)
    look.looks = looks  # type: ignore[attr-defined]
    return look


def test_a_worker_that_saw_ten_thousand_lanes_does_not_keep_ten_thousand_numbers(
    script: Any, clock: Clock
) -> None:
    """It keeps those in which something waits, and of the others those that it saw last."""
    for first in range(1, 10_001, 50):
        script(0, *range(first, first + 50))
        assert ("tenant 0", KINDS[0]) in script.looks._begin, "the first that was seen, and seen ever since"
    clock.takes = 0.02
    for _ in range(LOOKS):
        script(0)
    assert script() == {0, *range(10_001 - EMPTY_AT_MOST, 10_001)}
    assert len(script.looks._begin) == 1 + EMPTY_AT_MOST


def test_no_lane_in_which_something_waits_is_forgotten(script: Any, clock: Clock) -> None:
    clock.takes = 0.02
    many = range(3 * EMPTY_AT_MOST)
    for _ in range(LOOKS):
        script(*many)
    assert script(*many) == set(many)
    assert script() == set(many), "nor one that a look which passes something over found empty"


def test_what_is_paused_is_left_out_there_too(seen: Callable[[], list[int]], clock: Clock) -> None:
    ids = submit(0)
    slow_down(clock, seen)
    for pause, resume, name in (
        (steering.pause_queue, steering.resume_queue, "test"),
        (queue_steering.pause_kind, queue_steering.resume_kind, "test.echo"),
    ):
        assert seen() == ids
        pause(ME, name)
        assert seen() == []
        resume(ME, name)
        assert seen() == ids


def test_a_worker_comes_back_for_what_it_may_have_passed_over(bench: Bench, clock: Clock) -> None:
    """Nobody rings a second time for it."""
    clock.takes = 0.02
    for _ in range(LOOKS):
        bench.round()
    job = jobs.submit("test.echo", queue="test").id
    bench.scheduler.bell()
    assert bench.scheduler.tick().claimed == 0
    bench.scheduler._busy_until = 0.0
    assert 0.0 < bench.scheduler.wait_seconds() <= 0.02 / SHARE
    clock.now += 0.02 / SHARE
    assert bench.scheduler.wait_seconds() == 0.0
    assert bench.scheduler.tick().claimed == 1
    bench.until(job, "completed")
