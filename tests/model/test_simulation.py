"""Seeds of the simulated scheduler, how fast it goes, that a seed repeats, and that it finds what is broken.

OPSCHED_SEED=4711 make test PYTEST_ARGS="tests/model -k one_seed"     # see a failure again
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jobs import conf
from jobs.core.priority_queue import IndexedPriorityQueue
from jobs.maintenance import Rescuer
from jobs.recording import Recorder
from jobs.window import Window
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.model.simulation import Simulation, Violation
from tests.model.world import Job, World

FASTER = 1000.0

Simulate = Callable[..., Simulation]


@pytest.fixture
def simulate(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """simulate(seed): runs it, with settings that the seed chooses."""

    def one(seed: int) -> Simulation:
        poll, beat = (1.0, 2.0, 5.0)[seed % 3], (1.0, 1.5)[seed % 2]
        settings.OPSCHED = {"POLL_SECONDS": poll, "HEARTBEAT_SECONDS": beat, "LEASE_SECONDS": 5.0}
        assert poll == conf.get().POLL_SECONDS
        with monkeypatch.context() as patch:
            simulation = Simulation(seed, patch)
            simulation.run()
        return simulation

    return one


def run(simulate: Simulate, seeds: range) -> float:
    """Virtual seconds a second of this processor."""
    began, virtual = time.process_time(), 0.0
    for seed in seeds:
        virtual += simulate(seed).seconds
    return virtual / (time.process_time() - began)


def violation(simulate: Simulate, seed: int) -> str:
    """What was found; empty where all is well."""
    try:
        simulate(seed)
    except Violation as found:
        return str(found)
    return ""


def test_seeds(simulate: Simulate, record_property: Callable[[str, object], None]) -> None:
    ratio = run(simulate, range(4))
    record_property("times real time", round(ratio))
    assert ratio >= FASTER, f"only {ratio:,.0f} times real time"


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_seeds(simulate: Simulate, part: int) -> None:
    assert run(simulate, range(1000 + 100 * part, 1100 + 100 * part)) >= FASTER


def test_one_seed(simulate: Simulate) -> None:
    """The one that OPSCHED_SEED names, such as a failure printed."""
    simulate(int(os.environ.get("OPSCHED_SEED", "8")))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1145, id="rescued a moment before the look at idle workers"),
        pytest.param(1010, id="the watchers were cut off again and again"),
        pytest.param(1050, id="claimed ahead in vain"),
        pytest.param(1086, id="claimed for a thread that was still inside its old job"),
        pytest.param(1257, id="given back after a doubtful claim"),
        pytest.param(1526, id="stopped again, for a shorter time, while it stood still"),
    ],
)
def test_seeds_that_were_seen_to_fail(simulate: Simulate, seed: int) -> None:
    simulate(seed)


def test_a_seed_is_the_same_again(simulate: Simulate) -> None:
    assert simulate(5).trace == simulate(5).trace
    assert simulate(5).trace != simulate(2).trace


def forget(self: Recorder) -> list[Any]:
    self._uncertain = False
    return []


ready = World.ready


def ready_but_for_rescued(self: World, queues: Sequence[str] = ()) -> list[Job]:
    return [job for job in ready(self, queues) if not job.losses]


BROKEN: dict[str, tuple[type, str, Any]] = {
    "a doubtful commit is not looked into": (Recorder, "settle", forget),
    "a lease is a look": (Rescuer, "_still", lambda self, beats: list(beats)),
    "nobody watches": (Rescuer, "_still", lambda self, beats: []),
    "what was rescued is not among what is ready": (World, "ready", ready_but_for_rescued),
    "nothing goes into the wheel": (Window, "_look_at_jobs", lambda self, *_: 0),
    "the heap is upside down": (
        IndexedPriorityQueue,
        "head",
        lambda self, limit: sorted(self._index, key=self.key_of, reverse=True)[:limit],
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_broken_is_found_within_a_few_seeds(
    broken: str, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative controls: one part of the scheduler without its guard."""
    owner, name, instead = BROKEN[broken]
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises(Violation, match=r"seed \d+"):
        run(simulate, range(12))


def test_a_rescue_is_no_excuse_for_a_job_that_lies_there_afterwards(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rescuers go on looking and find nothing more to give back, it is seen before the end."""
    monkeypatch.setattr(World, "ready", ready_but_for_rescued)
    assert any("available beside an idle worker" in violation(simulate, seed) for seed in range(1042, 1082))
