"""The state machine: every move is made in PostgreSQL, by the real store and control code, and in the model.

After each both are compared, see `tests.model.comparison`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

import jobs
from jobs import JobSpec, conf, control, steering
from jobs.completion import decide
from jobs.control import Actor
from jobs.core.backoff import Fixed
from jobs.database import django_cursor
from jobs.errors import ActionRefused
from jobs.maintenance import Rescuer
from jobs.outcomes import Cancel, Completed, Discard, Failed, GiveBack, Outcome, Snooze
from jobs.store import workers
from jobs.store.claiming import claim
from jobs.store.ending import end_attempts
from jobs.store.moving import promote
from jobs.store.values import ClaimedJob, Transition
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.model.comparison import SECOND, Comparison

__all__ = ["Machine"]

KIND = "test.echo"
QUEUES = ("model-a", "model-b")
BACKOFF, SNOOZE = 60, 600
OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "completed": lambda: Completed(1),
    "failed": lambda: Failed(error_class="Boom", message="boom"),
    "permanent": lambda: Failed(error_class="Boom", message="boom", permanent=True),
    "snoozed": lambda: Snooze(SNOOZE),
    "given back": lambda: GiveBack("no thread"),
    "cancelled": lambda: Cancel("asked to"),
    "discarded": lambda: Discard("pointless"),
}
WAYS = st.sampled_from(sorted(OUTCOMES))


class Machine(Comparison):
    """The moves, and what the model makes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = Actor(name="model")
        self.held: list[tuple[int, ClaimedJob]] = []
        self.crashed: set[int] = set()
        self.clock = 0.0
        self.rescuer = Rescuer(on_death=lambda *_: None, clock=lambda: self.clock)
        self.rescuer._connection = connection.connection
        self.rng = random.Random(0)

    # -- clients -------------------------------------------------------------------------------------------------------

    @initialize()
    def two_workers(self) -> None:
        self.before = self.now()
        self._start_worker()
        self._start_worker()

    @rule(
        queue=st.sampled_from(QUEUES),
        priority=st.integers(-3, 3),
        most=st.integers(1, 3),
        later=st.sampled_from([None, None, -3600, 300, 3600]),
        count=st.integers(1, 4),
    )
    def submit(self, queue: str, priority: int, most: int, later: int | None, count: int) -> None:
        self.before = now = self.now()
        at = None if later is None else now + later * SECOND
        when = None if at is None else datetime.fromtimestamp(at / SECOND, UTC)
        options: dict[str, Any] = {"queue": queue, "priority": priority, "max_attempts": most}
        placed = jobs.submit_many([JobSpec(kind=KIND, scheduled_at=when, **options) for _ in range(count)])
        for one in placed:
            self.world.submit(one.id, now=now, at=at, **options)

    @rule(shape=st.lists(st.sets(st.integers(0, 3), max_size=2), min_size=2, max_size=5))
    def submit_workflow(self, shape: list[set[int]]) -> None:
        """Job n waits for those of its set that come before it."""
        self.before = now = self.now()
        parents = [sorted(one for one in wanted if one < place) for place, wanted in enumerate(shape)]
        specs = [
            JobSpec(
                kind=KIND,
                key=str(place),
                parents=[str(one) for one in above],
                queue=QUEUES[0],
                max_attempts=2,
            )
            for place, above in enumerate(parents)
        ]
        _, placed = jobs.submit_workflow("model", specs)
        for place, one in enumerate(placed):
            above = [placed[parent].id for parent in parents[place]]
            self.world.submit(one.id, now=now, queue=QUEUES[0], max_attempts=2, parents=above)

    # -- workers -------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), starts=st.booleans())
    def worker_starts_or_beats(self, data: st.DataObject, starts: bool) -> None:
        self.before = self.now()
        if starts:
            self._start_worker()
        else:
            self._beat(data.draw(st.sampled_from(sorted(self.world.workers))))

    def _start_worker(self) -> None:
        with django_cursor() as cursor:
            worker: int = workers.register(
                cursor, name="model", hostname="test", pid=1, queues=[], kinds=[KIND], concurrency=1
            )
        self.world.register(worker)

    @rule(data=st.data(), limit=st.integers(1, 6), ways=st.lists(WAYS, max_size=4))
    def claim(self, data: st.DataObject, limit: int, ways: list[str]) -> None:
        """Of any ids, the way a stale heap would ask: those that are not free are left. Some jobs end at once."""
        self.before = now = self.now()
        # One that was declared lost and has not heard of it asks too.
        living = {worker.id for worker in self.world.workers.values() if worker.alive}
        worker = data.draw(st.sampled_from(sorted(living | {min(self.world.workers)})))
        ready = [job.id for job in self.world.ready()]
        others = (
            data.draw(st.lists(st.sampled_from(sorted(self.world.jobs)), max_size=2))
            if self.world.jobs
            else []
        )
        asked = ready + [one for one in others if one not in ready]
        with django_cursor() as cursor:
            taken = claim(cursor, worker_id=worker, candidates=asked, limit=limit).jobs
        assert sorted(job.id for job in taken) == sorted(self.world.claim(worker, asked, limit))
        self.held += [(worker, job) for job in taken]
        self._finish(worker, taken, ways, now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ways=st.lists(WAYS, min_size=1, max_size=4))
    def finish(self, data: st.DataObject, ways: list[str]) -> None:
        """Also what a lost worker still says, and what was said before."""
        self.before = now = self.now()
        worker = data.draw(st.sampled_from(sorted({one for one, _ in self.held})))
        mine = [job for one, job in self.held if one == worker][-8:]
        self._finish(worker, data.draw(st.permutations(mine)), ways, now)

    @precondition(lambda self: self._late())
    @rule(data=st.data(), way=WAYS)
    def say_too_late(self, data: st.DataObject, way: str) -> None:
        """Of an attempt that is over, was given to another, or ended with its worker."""
        self.before = now = self.now()
        worker, job = data.draw(st.sampled_from(self._late()[-8:]))
        self._finish(worker, [job], [way], now)

    def _late(self) -> list[tuple[int, ClaimedJob]]:
        return [
            (worker, job) for worker, job in self.held if not self.world.holds(worker, job.id, job.attempt)
        ]

    def _finish(self, worker: int, jobs: Sequence[ClaimedJob], ways: list[str], now: int) -> None:
        ends = {job.id: (job, way) for job, way in zip(jobs, ways, strict=False)}
        with django_cursor() as cursor:
            told = end_attempts(cursor, worker, [self._decided(job, way) for job, way in ends.values()])
        accepted = [job.id for job, way in ends.values() if self._ends(worker, job, way, now)]
        assert sorted(told.recorded) == sorted(accepted)
        assert sorted(told.lost) == sorted(set(ends) - set(accepted))

    def _decided(self, job: ClaimedJob, way: str) -> Transition:
        outcome = OUTCOMES[way]()
        return decide(job, outcome, backoff=lambda: Fixed(seconds=BACKOFF), max_result=1000, rng=self.rng)

    def _ends(self, worker: int, job: ClaimedJob, way: str, now: int) -> bool:
        last = job.attempt >= self.world.jobs[job.id].max_attempts
        target, delay = {
            "completed": ("completed", 0),
            "failed": ("dead", 0) if last else ("retryable", BACKOFF),
            "permanent": ("dead", 0),
            "snoozed": ("scheduled", SNOOZE),
            "given back": ("available", 0),
            "cancelled": ("cancelled", 0),
            "discarded": ("discarded", 0),
        }[way]
        refund = way in ("snoozed", "given back")
        return self.world.end(
            worker, job.id, job.attempt, target, now=now, delay=delay * SECOND, refund=refund
        )

    def _beat(self, worker: int) -> None:
        with django_cursor() as cursor:
            lives = workers.heartbeat(cursor, worker, draining=False, stats={})
        assert lives is self.world.heartbeat(worker)

    # -- time and loss -------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 50, 100, 400, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.age(seconds)
        self.before = now = self.now()
        with django_cursor() as cursor:
            ids = [job.id for job in self.world.jobs.values() if job.due is not None]
            moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now)
            moved = promote(cursor, ids, now=moment)
        assert sorted(job.id for job in moved) == sorted(self.world.promote(ids, now=now))

    @rule(data=st.data(), crash=st.booleans())
    def a_lease_passes(self, data: st.DataObject, crash: bool) -> None:
        """Every worker that has not crashed beats; the real rescuer watches. Mostly one that runs something crashes."""
        busy = {
            job.worker
            for job in self.world.jobs.values()
            if job.state == "running" and job.worker is not None
        }
        if crash:
            self.crashed.add(data.draw(st.sampled_from(sorted(busy or self.world.workers))))
        lease = conf.get().LEASE_SECONDS
        for _ in range(5):
            self.age(lease / 4)
            self.before = self.now()
            for worker in set(self.world.workers) - self.crashed:
                self._beat(worker)
            self.clock += lease / 4
            self.rescuer.tick()
        for worker in self.crashed:
            self.world.lose(worker)
        self.world.rescue()
        self.world.answer_requests()

    # -- operators -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data(), what=st.sampled_from(["cancel", "replay", "discard", "run_now", "set_priority"]))
    def operate(self, data: st.DataObject, what: str) -> None:
        self.before = now = self.now()
        job_id = data.draw(st.sampled_from(self._worth(what, data.draw(st.integers(0, 3)))))
        priority = data.draw(st.integers(-3, 3))
        options: dict[str, Any] = {"priority": priority} if what == "set_priority" else {"reason": "model"}
        done = getattr(control, what)(self.actor, [job_id], **options)
        real = "done" if done.done else "requested" if done.requested else "refused"
        match what:
            case "replay" | "run_now":
                said = getattr(self.world, what)(job_id, now=now)
            case "set_priority":
                said = self.world.set_priority(job_id, priority)
            case _:
                said = getattr(self.world, what)(job_id)
        assert real == said

    def _worth(self, what: str, choice: int) -> list[int]:
        """Three times out of four jobs in a state that the action is for, where there are any."""
        states = {
            "cancel": ("running", "blocked"),
            "run_now": ("scheduled", "retryable"),
            "set_priority": ("available",),
        }
        fit = [job.id for job in self.world.jobs.values() if job.state in states.get(what, ("dead",))]
        return fit if fit and choice else sorted(self.world.jobs)

    @rule(queue=st.sampled_from(QUEUES), pause=st.booleans())
    def pause(self, queue: str, pause: bool) -> None:
        self.before = self.now()
        act = steering.pause_queue if pause else steering.resume_queue
        if any(job.queue == queue for job in self.world.jobs.values()):
            try:
                act(self.actor, queue)
            except ActionRefused:
                assert (queue in self.world.paused) is pause
            (self.world.paused.add if pause else self.world.paused.discard)(queue)
