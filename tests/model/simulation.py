"""Hours of several workers in a second: the real scheduler, heap, wheel and lease watch over a simulated database.

Everything random comes from one seed, so a seed is a failure that can be seen again. Workers crash, stand still past
their lease and come back, lose their connection before and after a commit, and miss bells; each has its own monotonic
clock. What must hold is checked while it runs; `Violation` says what did not, with the seed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from jobs import conf, maintenance, reconciling, recording, scheduler, taking
from jobs import heads as heads_module
from jobs import lines as lines_module
from jobs import window as window_module
from jobs.maintenance import Rescuer
from tests.model.member import QUEUES, Member, Seen
from tests.model.simulated import Agenda, Connection, Database

__all__ = ["Simulation", "Violation"]

JOBS = 40
HOURS = 1800.0
# At most so long after the last fault: a job that was put off for 900 s may then fail a few times, a minute each.
QUIET = 7200.0
CALM = 30.0
RUNS_AGAIN = 10.0
ENDED = ("completed", "dead")
MOST_STEPS = 200_000


class Violation(AssertionError):
    """Something that must hold did not."""


class Simulation:
    """Built inside a test, which gives the patch that puts it in the place of the database and the clock."""

    def __init__(self, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.agenda = Agenda()
        self.database = Database(self.agenda)
        self.database.taken = self._check_order
        self.seconds = 0.0
        self.trace: list[tuple[float, int, int]] = []
        self.faults = self.rng.choice((0.0, 0.02, 0.1))
        self.deaf = self.rng.choice((0.0, 0.3, 1.0))
        self.seer: Member | None = None
        self._workers = 0
        self._patch(patch)
        self.members = [self.start() for _ in range(3)]

    # -- in the place of the database, the clock and the bell ----------------------------------------------------------

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(monotonic=self.monotonic)
        for name, module in list(sys.modules.items()):
            if name.startswith("jobs.") and vars(module).get("time") is time:
                patch.setattr(module, "time", clock)
        database = self.database
        for module in (window_module, lines_module, heads_module, reconciling):
            patch.setattr(module, "rows", database.rows)
        for module, name in (
            (taking, "claim"),
            (taking, "claim_ready"),
            (recording, "promote"),
            (recording, "end_attempts"),
        ):
            patch.setattr(module, name, getattr(database, name))
        patch.setattr(recording, "drop_claims", lambda *_: None)
        patch.setattr(recording, "end_sessions", lambda *_: 0)
        patch.setattr(scheduler, "open_connection", lambda _: Connection())
        for module in (scheduler, recording, maintenance):
            patch.setattr(module, "in_transaction", self._transaction)
        patch.setattr(scheduler, "ring", self.ring)
        patch.setattr(maintenance, "ring", self.ring)
        patch.setattr(Rescuer, "connection", property(lambda _: Connection()))
        patch.setattr(maintenance, "_answer_stale_requests", lambda _: 0)
        patch.setattr(maintenance, "limiting", SimpleNamespace(tidy=lambda _: 0))
        world = database.world
        patch.setattr(
            maintenance,
            "workers",
            SimpleNamespace(
                living=lambda _: {one.id: one.beat for one in world.workers.values() if one.alive},
                lose=self._lose,
                rescue_orphans=lambda _, **options: database.rescue(**options),
            ),
        )

    def monotonic(self) -> float:
        return self.agenda.now + (self.seer.ahead if self.seer else 0.0)

    def seen_by(self, member: Member) -> Seen:
        """Whose clock is read, and whose connection may break."""
        return Seen(self, member)

    def _transaction(self, _: Any, work: Callable[[Any], Any], **_options: Any) -> Any:
        """Sometimes the connection is lost: before anything happened, or after the commit."""
        fault = self.rng.random() if self.seer is not None and self.agenda.now < self.end else 1.0
        if fault < self.faults / 2:
            raise psycopg.OperationalError("lost before")
        result = work(None)
        if fault < self.faults:
            raise psycopg.OperationalError("lost after")
        return result

    def ring(self, channel: str) -> None:
        for member in self.members:
            if channel == "opsched_jobs" and self.rng.random() >= self.deaf:
                self.agenda.after(self.rng.uniform(0.001, 0.05), member.scheduler.bell)
                member.wake(0.051)

    def register(self) -> int:
        self._workers += 1
        self.database.world.register(self._workers, now=self.agenda.now_us)
        return self._workers

    # -- what happens --------------------------------------------------------------------------------------------------

    end = float("inf")

    def start(self) -> Member:
        return Member(self, self.register())

    def run(self) -> None:
        """`seconds` is the virtual time that went by. Raises Violation."""
        began = self.agenda.now
        self.end = began + HOURS
        # Half of them in crowds: who finds a free thread needs no order.
        crowds = [self.rng.uniform(0, HOURS) for _ in range(2)]
        for number in range(1, JOBS + 1):
            moment = self.rng.choice([self.rng.uniform(0, HOURS), self.rng.choice(crowds)])
            self.agenda.after(moment, lambda number=number: self._submit(number))  # type: ignore[misc]
        for _ in range(self.rng.randint(2, 8)):
            self.agenda.after(self.rng.uniform(0, HOURS), self._harm)
        self.agenda.after(5.0, self._check)
        try:
            for _ in range(MOST_STEPS):
                if self._is_over() or not self.agenda.step():
                    break
            else:
                self.fail("some loop turns in circles")
            self._check_end()
        except BaseException as error:
            error.add_note(f"seed {self.seed}")
            raise
        self.seconds = self.agenda.now - began

    def _is_over(self) -> bool:
        now = self.agenda.now
        return now >= self.end + QUIET or (now >= self.end + CALM and not self._left())

    def _left(self) -> list[Any]:
        return [job for job in self.database.world.jobs.values() if job.state not in ENDED]

    def _submit(self, number: int) -> None:
        now = self.agenda.now_us
        later = self.rng.choice((None, None, 0.5, 30.0, 900.0))
        at = None if later is None else now + int(later * 1_000_000)
        options: dict[str, Any] = {"queue": self.rng.choice(QUEUES), "priority": self.rng.randint(-3, 3)}
        self.database.world.submit(number, now=now, at=at, max_attempts=20, **options)
        self.ring("opsched_jobs")

    def _harm(self) -> None:
        member = self.rng.choice([one for one in self.members if not one.crashed])
        if self.rng.random() < 0.5:
            member.crashed = member.handlers.stopped = True
            worker = member.id
            self.agenda.after(
                RUNS_AGAIN + 2 * conf.get().HEARTBEAT_SECONDS, lambda: self._check_rescued(worker)
            )
            self.members.remove(member)
            self.members.append(self.start())
        else:
            # One that stands still already is not let go sooner: what it was about to do is put off until then.
            until = self.agenda.now + self.rng.choice((0.5, 3.0, 20.0, 300.0))
            member.frozen_until = max(member.frozen_until, until)
            member.well_since = member.frozen_until

    # -- what must hold ------------------------------------------------------------------------------------------------

    def fail(self, what: str) -> None:
        raise Violation(f"seed {self.seed}, second {self.agenda.now - 1e9:.3f}: {what}")

    def _lose(self, _: Any, *, worker_id: int, beat: int, **_options: Any) -> bool:
        member = next((one for one in self.members if one.id == worker_id), None)
        lease = conf.get().LEASE_SECONDS
        if member is not None and member.well and self.agenda.now - member.well_since > lease:
            self.fail(f"worker {worker_id} lives and was declared lost")
        return self.database.world.lose(worker_id, beat)

    def _check_order(self, worker_id: int, ids: list[int]) -> None:
        """Nothing that was ready for some polls is overtaken in its queue."""
        world, now = self.database.world, self.agenda.now_us
        patience = int(2.5 * conf.get().POLL_SECONDS * 1_000_000)
        for job_id in ids:
            self.trace.append((self.agenda.now, worker_id, job_id))
            taken = world.jobs[job_id]
            for other in world.ready([taken.queue]):
                if other.rank < taken.rank and self.database.available_since(other) < now - patience:
                    self.fail(f"job {other.id} was overtaken by {job_id}")

    def _check(self) -> None:
        """No work lies beside an idle worker, and nothing that is due is forgotten, beyond a few polls."""
        now, most = self.agenda.now, 4 * conf.get().POLL_SECONDS + 3.0
        idle = [
            one
            for one in self.members
            if one.well and one.handlers.idle and now - max(one.well_since, one.handlers.idle_since) > most
        ]
        if idle and not self.faults:
            for job in self.database.world.jobs.values():
                since = self.database.available_since(job) if job.state == "available" else job.due
                if job.state in ("available", "scheduled", "retryable") and (since or 0) < (now - most) * 1e6:
                    self.fail(f"job {job.id} is {job.state} beside an idle worker")
        if now < self.end + QUIET:
            self.agenda.after(5.0, self._check)

    def _check_rescued(self, worker: int) -> None:
        """Asked until nothing is held: while nobody watches undisturbed, the time does not run."""
        now = self.agenda.now
        held = [
            job.id
            for job in self.database.world.jobs.values()
            if (job.state, job.worker) == ("running", worker)
        ]
        if held and any(one.well and now - one.watching_since > RUNS_AGAIN for one in self.members):
            self.fail(f"jobs {held} of a dead worker were not given back")
        if held:
            self.agenda.after(1.0, lambda: self._check_rescued(worker))

    def _check_end(self) -> None:
        if left := self._left():
            self.fail(f"left: {left}")
        if any(count != 1 for count in self.database.completions.values()):
            self.fail("a job was completed twice")
