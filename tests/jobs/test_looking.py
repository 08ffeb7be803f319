"""When a worker looks at what is ready, and from where."""

from __future__ import annotations

from typing import Any

import pytest

import jobs
from jobs import JobSpec, lines
from jobs.recording import Recorder
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


@pytest.mark.parametrize(
    ("room", "claim", "looks"),
    [(19, 500, 0), (20, 500, 0), (21, 500, 1), (200, 500, 1), (200, 20, 0), (200, 21, 1)],
)
def test_half_a_claim_is_taken_before_the_heads_are_read_again(
    drain: Bench, refills: list[bool], monkeypatch: pytest.MonkeyPatch, room: int, claim: int, looks: int
) -> None:
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: room)
    drain.scheduler._settings = drain.scheduler._settings.model_copy(update={"CLAIM_BATCH": claim})
    assert len(drain.scheduler._window) == 10
    drain.scheduler.tick()
    assert len(refills) == looks


def test_what_ends_in_this_round_makes_room_that_the_look_counts_with(
    drain: Bench, refills: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each full claim would be followed by one of what is left of the cache."""
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: leaving)
    monkeypatch.setattr(Recorder, "unrecorded", 21)
    drain.scheduler.tick()
    assert len(refills) == 1


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


def test_a_queue_of_which_nothing_is_known_any_more_is_looked_for_though_much_is_known_of_others(
    drain: Bench, refills: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "_room", lambda self, leaving=0: 4)
    window = drain.scheduler._window
    window._lines._cut.add("emptied")
    drain.scheduler.tick()
    assert len(refills) == 1
    assert not window.ran_dry
    assert len(window) >= 4
    drain.scheduler.tick()
    assert len(refills) == 1


def test_a_worker_that_drains_sleeps_though_a_bell_has_rung(drain: Bench) -> None:
    """It takes nothing more, so nobody would ever hear it, and the loop would turn until the last job ends."""
    drain.scheduler._polled = -LATER
    drain.scheduler.tick()
    drain.scheduler.bell()
    assert drain.scheduler.wait_seconds() == 0.0
    drain.scheduler.draining = True
    drain.scheduler.tick()
    drain.executor.take_back()
    assert drain.scheduler.wait_seconds() > 0.0
