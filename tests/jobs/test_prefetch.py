"""How far ahead a worker claims."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from jobs.outcomes import Completed
from jobs.prefetch import Prefetch
from jobs.running.attempts import Attempts

SHORT, LONG = 0.000_05, 1.0


def capacities(*rounds: tuple[int, float]) -> list[int]:
    """Of a worker with 8 threads after each round, in which so many jobs ended that took so long each."""
    ahead = Prefetch(concurrency=8, seconds=0.1, limit=1_000)
    found, busy = [], 0.0
    for ended, each in rounds:
        busy += ended * each
        ahead.observe(ended=ended, busy_seconds=busy)
        found.append(ahead.capacity())
    return found


@pytest.mark.parametrize("concurrency", [1, 8, 100, 1000])
def test_nothing_is_claimed_ahead_before_anything_is_known_or_after_it_was_too_much(concurrency: int) -> None:
    ahead = Prefetch(concurrency=concurrency, seconds=0.1, limit=5000)
    assert ahead.capacity() == concurrency
    busy = 0.0
    for _ in range(50):
        busy += 0.01
        ahead.observe(ended=10, busy_seconds=busy)
    assert ahead.capacity() > concurrency
    ahead.too_far()
    assert ahead.capacity() == concurrency


def test_a_few_short_jobs_are_enough_to_claim_ahead_and_a_long_one_to_stop_it() -> None:
    first, second, third, after_one, after_two = capacities(
        (8, SHORT), (100, SHORT), (500, SHORT), (1, LONG), (1, LONG)
    )
    assert 50 < first < 500, "it waits for a second batch before it claims by the hundred"
    assert second == third == 1_000
    assert after_one <= 10
    assert after_two <= after_one


def test_less_than_a_job_for_each_thread_says_little() -> None:
    """The short ones of a mixture end first, while the long ones take thread after thread."""
    assert capacities((1, SHORT), (1, SHORT)) <= [9, 10]
    assert capacities(*[(1, SHORT)] * 4)[-1] < 20
    assert capacities((0, SHORT)) == [8]


def test_whoever_collects_an_end_finds_its_time_already_counted() -> None:
    """Else a long job would be taken for one of no length, and hundreds claimed behind it."""
    attempts = Attempts()
    counted: list[float] = []

    class Ended(deque[Any]):
        def append(self, one: Any) -> None:
            counted.append(attempts.busy_seconds)

    attempts.ended = Ended()
    attempts.end(None, Completed(None), began=-LONG)  # type: ignore[arg-type]
    assert counted[0] >= LONG
