"""Rates are differences of counters over the time between two heartbeats, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.operations.meter import HISTORY, Meter, Rate, Rates

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def look(meter: Meter, second: float, *workers: tuple[int, float, dict[str, Any]]) -> Rates:
    """Workers as (id, second of the heartbeat, counters)."""
    return meter.look(at(second), [(key, at(beat), counters) for key, beat, counters in workers])


def test_one_look_gives_no_rate() -> None:
    rates = look(Meter(), 0, (1, 0, {"completed": 100}))
    assert rates.total is None
    assert rates.workers == {}


def test_a_rate_is_what_was_counted_between_two_heartbeats() -> None:
    meter = Meter()
    look(meter, 0, (1, 0, {"completed": 100, "retryable": 1}))
    rates = look(meter, 2, (1, 2, {"completed": 150, "retryable": 2, "dead": 1, "slots": 99}))
    assert rates.workers == {1: Rate(completed=25.0, failed=1.0)}
    assert rates.total == Rate(completed=25.0, failed=1.0)


def test_a_counter_that_appears_later_began_at_zero() -> None:
    meter = Meter()
    look(meter, 0, (1, 0, {}))
    assert look(meter, 2, (1, 2, {"dead": 4})).total == Rate(failed=2.0)


def test_the_same_heartbeat_seen_twice_changes_nothing() -> None:
    meter = Meter()
    look(meter, 0, (1, 0, {"completed": 0}))
    look(meter, 1, (1, 1, {"completed": 10}))
    assert look(meter, 1.5, (1, 1, {"completed": 10})).total == Rate(completed=10.0)


def test_a_rate_forgets_what_is_older_than_ten_seconds() -> None:
    meter = Meter()
    seen = [look(meter, n, (1, n, {"completed": 1000 if n >= 5 else 0})).total for n in range(30)]
    assert seen[14] == Rate(completed=100.0)
    assert seen[29] == Rate()


def test_a_silent_worker_has_no_rate() -> None:
    meter = Meter()
    for second in range(3):
        look(meter, second, (1, second, {"completed": second}), (2, second, {"completed": second}))
    rates = look(meter, 9, (1, 2, {"completed": 2}), (2, 9, {"completed": 9}))
    assert rates.workers == {2: Rate(completed=1.0)}


def test_a_worker_that_ended_is_forgotten_and_nobody_at_work_is_a_rate_of_zero() -> None:
    meter = Meter()
    look(meter, 0, (1, 0, {"completed": 0}))
    look(meter, 1, (1, 1, {"completed": 5}))
    assert look(meter, 2).total == Rate()
    assert look(meter, 3, (1, 3, {"completed": 9})).total is None


def test_queues_are_known_only_when_workers_count_them() -> None:
    meter = Meter()
    look(meter, 0, (1, 0, {"completed": 0}))
    assert look(meter, 1, (1, 1, {"completed": 5})).queues is None


def test_the_workers_of_a_queue_are_added_up() -> None:
    meter = Meter()
    before = {"completed:mail": 0, "dead:mail": 0, "completed:a:b": 1}
    look(meter, 0, (1, 0, before), (2, 0, before))
    after = {"completed:mail": 4, "dead:mail": 2, "completed:a:b": 1}
    rates = look(meter, 2, (1, 2, after), (2, 2, after))
    assert rates.queues == {"mail": Rate(completed=4.0, failed=2.0)}


@pytest.mark.parametrize("rounds", [HISTORY + 50])
def test_the_history_is_bounded_and_has_a_point_a_second_however_often_it_is_asked(rounds: int) -> None:
    meter = Meter()
    for second in range(rounds):
        look(meter, second, (1, second, {"completed": second}))
        look(meter, second + 0.1, (1, second, {"completed": second}))
    assert len(meter.history) == HISTORY
    seconds = [point[0] for point in meter.history]
    assert seconds[-1] - seconds[0] == HISTORY - 1
