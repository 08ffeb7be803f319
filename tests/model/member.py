"""One worker process of the simulation: the real scheduler and lease watch, with a clock of its own.

A crash ends it, a freeze puts off what it was about to do, and a connection that breaks it opens anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg

from jobs import conf
from jobs.maintenance import Rescuer
from jobs.registry import registry
from jobs.scheduler import Scheduler
from tests.model.simulated import Handlers

if TYPE_CHECKING:
    from tests.model.simulation import Simulation

__all__ = ["QUEUES", "Member", "Seen"]

QUEUES = ("a", "b")


class Seen:
    """While it is entered, the product's code runs in this member's process."""

    __slots__ = ("_member", "_simulation")

    def __init__(self, simulation: Simulation, member: Member) -> None:
        self._simulation, self._member = simulation, member

    def __enter__(self) -> None:
        self._simulation.seer = self._member

    def __exit__(self, *_: object) -> None:
        self._simulation.seer = None


class Member:
    """One worker process: its scheduler, handlers and rescuer, and what has befallen it."""

    def __init__(self, simulation: Simulation, worker_id: int) -> None:
        self.simulation = simulation
        self.id = worker_id
        self.ahead = simulation.rng.uniform(0, 1e6)  # its monotonic clock began at another moment
        self.crashed = False
        self.frozen_until = 0.0
        self.well_since = simulation.agenda.now
        self.cut_off_at = 0.0
        self._turn = 0
        concurrency = simulation.rng.choice((1, 2, 4))
        with simulation.seen_by(self):
            agenda, rng = simulation.agenda, simulation.rng
            self.handlers = Handlers(agenda, rng, concurrency, self.wake)
            self.scheduler = Scheduler(
                worker_id=worker_id,
                queues=QUEUES,
                registry=registry,
                executor=self.handlers,  # type: ignore[arg-type]
                concurrency=concurrency,
            )
            self.scheduler._recorder._rng = random.Random(rng.random())
            self.rescuer = Rescuer(on_death=lambda *_: None, clock=lambda: agenda.now + self.ahead)
        self.wake()
        self._later(rng.random(), self.beat)
        self._later(rng.random(), self.watch)

    @property
    def well(self) -> bool:
        return not self.crashed and self.simulation.agenda.now >= self.frozen_until

    @property
    def watching_since(self) -> float:
        """Since when nothing has broken into its watch of the others: each break is a beginning."""
        return max(self.well_since, self.cut_off_at)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """Its own doing: not after a crash, and after a freeze only when it is over."""

        def when_it_can() -> None:
            if self.crashed:
                return
            if not self.well:
                self._later(self.frozen_until - self.simulation.agenda.now, act)
                return
            with self.simulation.seen_by(self):
                act()

        self.simulation.agenda.after(seconds, when_it_can)

    def wake(self, seconds: float = 0.0005) -> None:
        self._turn += 1
        turn = self._turn
        self._later(seconds, lambda: self.tick() if turn == self._turn else None)

    def tick(self) -> None:
        try:
            self.scheduler.tick()
            self.wake(max(0.0005, self.scheduler.wait_seconds()))
        except psycopg.OperationalError:
            self.scheduler.close()
            self.wake(0.1)

    def beat(self) -> None:
        world, now = self.simulation.database.world, self.simulation.agenda.now_us
        if not world.heartbeat(self.id, now=now):
            self.scheduler.give_up()
            self.id = self.simulation.register()
            self.scheduler.start_anew(self.id)
            self.wake()
        self._later(conf.get().HEARTBEAT_SECONDS, self.beat)

    def watch(self) -> None:
        try:
            self.rescuer.tick()
        except psycopg.OperationalError:
            self.cut_off_at = self.simulation.agenda.now
            self.rescuer.connected_anew()
        self._later(conf.get().HEARTBEAT_SECONDS, self.watch)
