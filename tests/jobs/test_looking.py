"""When a worker looks at what is ready, from where, and how much it then claims ahead."""

from __future__ import annotations

from typing import Any

import pytest

import jobs
from jobs import JobSpec, lines
from jobs.prefetch import Prefetch
from jobs.scheduler import Scheduler
from jobs.window import Window
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.jobs.conftest import Bench

pytestmark = pytest.mark.django_db(transaction=True)

LATER = float("inf")


@pytest.fixture
def drain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker that knows ten of thirty jobs and will not poll for them again."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 10)
    jobs.submit_many([JobSpec(kind="test.gated")] * 30)
    bench.scheduler.draining = True  # it looks, and claims nothing yet
    with bench.scheduler._database().cursor() as cursor:
        bench.scheduler._window.poll(cursor, bench.worker_id)
    bench.scheduler._polled = LATER
    bench.scheduler.draining = False
    return bench


@pytest.fixture
def refills(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each time that heads were read anew: whether it went on from where the last look began."""
    found: list[bool] = []
    refill = Window.refill

    def noted(self: Window, cursor: Any, worker_id: int = 0, *, onward: bool = False) -> None:
        found.append(onward)
        refill(self, cursor, worker_id, onward=onward)

    monkeypatch.setattr(Window, "refill", noted)
    return found


@pytest.mark.parametrize(("room", "looks"), [(19, 0), (20, 0), (21, 1), (200, 1)])
def test_half_a_claim_is_taken_before_the_heads_are_read_again(
    drain: Bench, refills: list[bool], monkeypatch: pytest.MonkeyPatch, room: int, looks: int
) -> None:
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: room)
    assert len(drain.scheduler._window) == 10
    drain.scheduler.tick()
    assert len(refills) == looks


@pytest.mark.parametrize("rang", [False, True])
def test_only_a_bell_makes_it_look_from_the_beginning(
    drain: Bench, refills: list[bool], monkeypatch: pytest.MonkeyPatch, rang: bool
) -> None:
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: 30)
    urgent = jobs.submit("test.gated", priority=50)
    if rang:
        drain.scheduler.bell()
    drain.scheduler.tick()
    assert refills == [not rang]
    held = {job.id for job in drain.scheduler._recorder.held.jobs()}
    assert len(held) == 10
    assert (urgent.id in held) is rang


def test_the_poll_looks_from_the_beginning_though_no_bell_rang(
    drain: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: 30)
    urgent = jobs.submit("test.gated", priority=50)
    drain.scheduler._polled = -LATER
    drain.scheduler.tick()
    assert urgent.id in {job.id for job in drain.scheduler._recorder.held.jobs()}


def test_a_few_short_jobs_are_enough_to_claim_ahead_and_a_long_one_to_stop_it() -> None:
    ahead = Prefetch(concurrency=8, seconds=0.1, limit=1_000)
    short, long = 0.000_05, 1.0
    found, busy = [], 0.0
    for ended, each in ((8, short), (100, short), (500, short), (1, long), (1, long)):
        busy += ended * each
        ahead.observe(ended=ended, busy_seconds=busy)
        found.append(ahead.capacity())
    first, second, third, after_one, after_two = found
    assert 50 < first < 500, "it waits for more than a handful before it claims by the hundred"
    assert second == third == 1_000
    assert after_one <= 10
    assert after_two <= after_one
