"""What opsched promises about jobs, written down a second time in plain Python: the model that the product is held to.

It shares no code with the product and knows no SQL. `tests/model/test_machine.py` makes the same moves here and in a
real PostgreSQL and compares; the simulation of the scheduler uses it as its database, which that comparison permits.
Time is a number of microseconds that the caller gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["AGEING_US", "Job", "Worker", "World"]

AGEING_US = 60_000_000
WAITING = ("available", "scheduled", "retryable", "blocked")
ENDED = ("completed", "cancelled", "discarded", "skipped")


@dataclass(slots=True, kw_only=True)
class Job:
    id: int
    queue: str
    priority: int
    max_attempts: int
    state: str
    attempt: int = 0
    ready_at: int | None = None
    due: int | None = None
    worker: int | None = None
    claim: int | None = None
    asked_to_stop: bool = False
    losses: int = 0
    parents: set[int] = field(default_factory=set)
    history: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """Smaller runs earlier: waiting for a minute is worth a step of priority."""
        assert self.ready_at is not None
        return self.ready_at - self.priority * AGEING_US


@dataclass(slots=True, kw_only=True)
class Worker:
    id: int
    alive: bool = True
    beat: int = 0
    beat_at: int = 0


class World:
    """Jobs, workers and queues. A move returns what it did; what is not allowed does nothing."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.workers: dict[int, Worker] = {}
        self.paused: set[str] = set()
        self._claims = 0

    # -- clients -------------------------------------------------------------------------------------------------------

    def submit(
        self,
        job_id: int,
        *,
        now: int,
        queue: str,
        priority: int = 0,
        max_attempts: int = 5,
        at: int | None = None,
        parents: Iterable[int] = (),
    ) -> Job:
        open_parents = set(parents)
        state = "blocked" if open_parents else "scheduled" if at is not None and at > now else "available"
        job = Job(id=job_id, queue=queue, priority=priority, max_attempts=max_attempts, state=state)
        job.parents, job.due = open_parents, at
        if state == "available":
            job.ready_at = now
        self.jobs[job_id] = job
        return job

    # -- workers -------------------------------------------------------------------------------------------------------

    def register(self, worker_id: int, *, now: int = 0) -> None:
        self.workers[worker_id] = Worker(id=worker_id, beat_at=now)

    def heartbeat(self, worker_id: int, *, now: int = 0) -> bool:
        worker = self.workers[worker_id]
        if worker.alive:
            worker.beat, worker.beat_at = worker.beat + 1, now
        return worker.alive

    def ready(self, queues: Sequence[str] = ()) -> list[Job]:
        """What may be claimed, in order."""
        found = [
            job
            for job in self.jobs.values()
            if job.state == "available"
            and job.queue not in self.paused
            and (not queues or job.queue in queues)
        ]
        return sorted(found, key=lambda job: (job.rank, job.id))

    def claim(self, worker_id: int, candidates: Iterable[int], limit: int) -> list[int]:
        if not self.workers[worker_id].alive:
            return []
        wanted = set(candidates)
        taken = [job for job in self.ready() if job.id in wanted][:limit]
        self._claims += bool(taken)
        for job in taken:
            job.state, job.worker, job.claim = "running", worker_id, self._claims
            job.attempt += 1
        return [job.id for job in taken]

    def holds(self, worker_id: int, job_id: int, attempt: int) -> bool:
        """The fence: job, attempt, worker, running."""
        job = self.jobs[job_id]
        return (job.state, job.worker, job.attempt) == ("running", worker_id, attempt)

    def end(
        self,
        worker_id: int,
        job_id: int,
        attempt: int,
        target: str,
        *,
        now: int,
        delay: int = 0,
        refund: bool = False,
    ) -> bool:
        """The end of an attempt; False when the fence refuses it."""
        if not self.holds(worker_id, job_id, attempt):
            return False
        job = self.jobs[job_id]
        job.state, job.claim = target, None
        if refund:
            job.attempt -= 1
        else:
            job.history.append((attempt, target))
        if target in ("retryable", "scheduled"):
            job.due = now + delay
        if target == "cancelled":
            job.asked_to_stop = False
        if target == "completed":
            self._release(job_id, now)
        elif target in ENDED:
            self._skip_below(job_id)
        return True

    def _release(self, parent: int, now: int) -> None:
        for job in self.jobs.values():
            if job.state == "blocked" and parent in job.parents:
                job.parents.discard(parent)
                if not job.parents:
                    later = job.due is not None and job.due > now
                    job.state, job.ready_at = ("scheduled", None) if later else ("available", now)

    def _skip_below(self, parent: int) -> None:
        for job in list(self.jobs.values()):
            if job.state == "blocked" and parent in job.parents:
                job.state = "skipped"
                self._skip_below(job.id)

    def due(self, until: int) -> list[Job]:
        found = [
            job
            for job in self.jobs.values()
            if job.state in ("scheduled", "retryable") and _due(job) <= until
        ]
        return sorted(found, key=lambda job: (_due(job), job.id))

    def promote(self, ids: Iterable[int], *, now: int, anyway: bool = False) -> list[int]:
        moved = []
        for job in (self.jobs[one] for one in sorted(set(ids))):
            if job.state in ("scheduled", "retryable") and (anyway or _due(job) <= now):
                job.state, job.ready_at = "available", now
                moved.append(job.id)
        return moved

    # -- loss ----------------------------------------------------------------------------------------------------------

    def lose(self, worker_id: int, beat: int | None = None) -> bool:
        worker = self.workers[worker_id]
        if not worker.alive or beat not in (None, worker.beat):
            return False
        worker.alive = False
        return True

    def rescue(self, *, max_losses: int = 3) -> list[int]:
        """Jobs of workers that live no more go back, with one more attempt allowed, since a loss costs none.

        Too many losses are the end. From the second on those of handlers that had not begun do not count, and here
        nobody notes a beginning.
        """
        rescued = []
        for job in self.jobs.values():
            if job.state == "running" and job.worker is not None and not self.workers[job.worker].alive:
                job.history.append((job.attempt, "lost"))
                job.losses += job.losses == 0
                job.state = "dead" if job.losses >= max_losses else "available"
                job.max_attempts += job.state == "available"
                job.claim = None
                rescued.append(job.id)
        return rescued

    def answer_requests(self) -> list[int]:
        """Jobs that were to be stopped but do not run any more are cancelled; other requests are settled."""
        cancelled = []
        for job in self.jobs.values():
            if job.asked_to_stop and job.state != "running":
                job.asked_to_stop = False
                if job.state in WAITING:
                    job.state = "cancelled"
                    cancelled.append(job.id)
        for job_id in cancelled:
            self._skip_below(job_id)
        return cancelled

    # -- operators -----------------------------------------------------------------------------------------------------

    def cancel(self, job_id: int) -> str:
        job = self.jobs[job_id]
        if job.state == "running":
            job.asked_to_stop = True
            return "requested"
        if job.state not in WAITING:
            return "refused"
        job.state = "cancelled"
        self._skip_below(job_id)
        return "done"

    def replay(self, job_id: int, *, now: int, attempts: int = 1) -> str:
        job = self.jobs[job_id]
        if job.state != "dead":
            return "refused"
        job.state, job.ready_at = "available", now
        job.max_attempts = job.attempt + max(1, job.max_attempts - job.attempt, attempts)
        return "done"

    def discard(self, job_id: int) -> str:
        job = self.jobs[job_id]
        if job.state != "dead":
            return "refused"
        job.state = "discarded"
        self._skip_below(job_id)
        return "done"

    def run_now(self, job_id: int, *, now: int) -> str:
        return "done" if self.promote([job_id], now=now, anyway=True) else "refused"

    def set_priority(self, job_id: int, priority: int) -> str:
        job = self.jobs[job_id]
        if job.state not in WAITING:
            return "refused"
        job.priority = priority
        return "done"


def _due(job: Job) -> int:
    assert job.due is not None
    return job.due
