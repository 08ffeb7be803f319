"""The model as a database, and handlers that take virtual time: what the simulated workers stand on.

Each function has the shape of the one of the store whose place it takes; the rows are those of the statements that the
window, the lines and the reconciliation read.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from jobs.outcomes import Completed, Failed, Outcome, Retry, Snooze
from jobs.store.values import Claimed, ClaimedJob, Moved, Recorded, Transition
from tests.model.world import Job, World

__all__ = ["KIND", "Agenda", "Connection", "Database", "Handlers"]

KIND = "test.echo"
_OUTCOMES: list[tuple[int, Callable[[], Outcome]]] = [
    (88, Completed),
    (7, lambda: Failed(error_class="Boom", message="boom")),
    (3, lambda: Retry(after=40, reason="later")),
    (2, lambda: Snooze(20)),
]


class Agenda:
    """What happens when, in virtual seconds. Equal times in the order they were noted."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    @property
    def now_us(self) -> int:
        return int(self.now * 1_000_000)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + max(0.0, seconds), next(self._number), act))

    def step(self) -> bool:
        if not self._events:
            return False
        self.now, _, act = heapq.heappop(self._events)
        act()
        return True


class Connection:
    """Nothing goes through it: what it is asked for by name answers in its place."""

    closed = False

    def cursor(self) -> Any:
        return nullcontext(self)

    def close(self) -> None:
        self.closed = True


class Database:
    """The model, spoken to the way the store is."""

    def __init__(self, agenda: Agenda) -> None:
        self.world = World()
        self._agenda = agenda
        self.taken: Callable[[int, list[int]], None] = lambda *_: None
        self.completions: dict[int, int] = {}
        self._rescued: dict[int, int] = {}

    def rows(self, _: Any, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = getattr(self, f"_{name}")(params)
        return found

    def _database_clock(self, _: Any) -> list[tuple[Any, ...]]:
        return [(self._agenda.now_us,)]

    def _lines(self, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [(name, 1, False, False) for name in params["names"]]

    def _ready_heads(self, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        lanes = []
        for queue in params["names"]:
            front = self.world.ready([queue])[: params["limit"]]
            if front:
                ids, ranks = [job.id for job in front], [job.rank for job in front]
                lanes.append((queue, KIND, ids, ranks, ranks[0], ids[0], len(front)))
        return lanes

    def _due_head(self, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        since = (round(params["since"] * 1_000_000), params["after"])
        due = self.world.due(round(params["until"] * 1_000_000))
        return [(job.id, job.due) for job in due if (job.due, job.id) > since][: params["limit"]]

    def _due_schedules(self, _: Any) -> list[tuple[Any, ...]]:
        return []

    def _settled_attempts(self, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        worker = params["worker"]
        return [
            (one, attempt)
            for one, attempt in zip(params["ids"], params["attempts"], strict=True)
            if not self.world.holds(worker, one, attempt)
            and self.world.jobs[one].worker == worker
            and self.world.jobs[one].attempt in (attempt, attempt - 1)
        ]

    def _my_claims(self, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        mine = [
            job
            for job in self.world.jobs.values()
            if job.state == "running" and job.worker == params["worker"] and job.claim not in params["known"]
        ]
        return [(job.claim, job.id, KIND, job.queue, job.attempt, job.max_attempts, None, "") for job in mine]

    # -- the functions of the store ------------------------------------------------------------------------------------

    def claim(
        self,
        _: Any,
        *,
        worker_id: int,
        candidates: Sequence[int],
        limit: int,
        in_order: bool = False,
        **_options: Any,
    ) -> Claimed:
        if in_order:  # those of several queues go by the order they are named in, which is the queues' shares
            ready = {job.id for job in self.world.ready()}
            candidates = [one for one in candidates if one in ready][:limit]
        ids = self.world.claim(worker_id, candidates, limit)
        if not ids:
            return Claimed(claim_id=None, jobs=[])
        self.taken(worker_id, ids)
        place = {one: number for number, one in enumerate(candidates)}
        return Claimed(
            claim_id=self.world.jobs[ids[0]].claim,
            jobs=[self._claimed(one, worker_id) for one in sorted(ids, key=place.__getitem__)],
        )

    def claim_ready(
        self, cursor: Any, *, worker_id: int, names: Sequence[str], kinds: Sequence[str], limit: int
    ) -> Claimed | None:
        ready = [job.id for job in self.world.ready(names)]
        return (
            None
            if len(ready) > limit
            else self.claim(cursor, worker_id=worker_id, candidates=ready, limit=limit)
        )

    def _claimed(self, job_id: int, worker_id: int) -> ClaimedJob:
        job = self.world.jobs[job_id]
        return ClaimedJob(
            id=job.id,
            kind=KIND,
            queue=job.queue,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            payload="{}",
            options=None,
            workflow_id=None,
            task="",
            claim_id=job.claim or 0,
            worker_id=worker_id,
        )

    def end_attempts(self, _: Any, worker_id: int, transitions: Sequence[Transition]) -> Recorded:
        now, accepted = self._agenda.now_us, []
        for one in transitions:
            target, delay = one.target.value, int(one.delay * 1_000_000)
            fence = worker_id, one.job.id, one.job.attempt
            if self.world.end(*fence, target, now=now, delay=delay, refund=one.refund):
                accepted.append(one.job.id)
                if target == "completed":
                    self.completions[one.job.id] = self.completions.get(one.job.id, 0) + 1
        lost = [one.job.id for one in transitions if one.job.id not in accepted]
        released = sum(one.target.value == "available" for one in transitions if one.job.id in accepted)
        return Recorded(recorded=accepted, lost=lost, released=released)

    def rescue(self, **options: Any) -> int:
        rescued = self.world.rescue(**options)
        self._rescued |= dict.fromkeys(rescued, self._agenda.now_us)
        return len(rescued)

    def available_since(self, job: Job) -> int:
        """Since when anybody can take it: one that was rescued has its old place in the line, but was held."""
        return max(job.ready_at or self._agenda.now_us, self._rescued.get(job.id, 0))

    def promote(self, _: Any, ids: Iterable[int], **_options: Any) -> list[Moved]:
        moved = [self.world.jobs[one] for one in self.world.promote(ids, now=self._agenda.now_us)]
        return [
            Moved(id=job.id, kind=KIND, queue=job.queue, workflow_id=None, rank=job.rank) for job in moved
        ]


class Handlers:
    """Has the face of the executor; a job takes as long as the seed says."""

    def __init__(
        self, agenda: Agenda, rng: random.Random, concurrency: int, wake: Callable[[], None]
    ) -> None:
        self._agenda, self._rng, self._wake = agenda, rng, wake
        self._free = concurrency
        self._waiting: deque[ClaimedJob] = deque()
        self._ended: list[tuple[ClaimedJob, Outcome]] = []
        self._running: set[int] = set()
        self._disowned: set[int] = set()
        self._busy = 0.0
        self.stopped = False
        self.idle_since = agenda.now

    @property
    def idle(self) -> bool:
        return self._free > 0 and not self._waiting

    def put(self, jobs: list[ClaimedJob]) -> None:
        self._waiting.extend(jobs)
        self._begin()

    def _begin(self) -> None:
        while self._free and self._waiting and not self.stopped:
            job = self._waiting.popleft()
            self._free -= 1
            self._running.add(id(job))
            seconds = self._rng.choice((0.01, 0.2, 1.0, 5.0, 60.0))
            self._agenda.after(seconds, lambda job=job, seconds=seconds: self._finish(job, seconds))  # type: ignore[misc]

    def _finish(self, job: ClaimedJob, seconds: float) -> None:
        if self.stopped:
            return
        self._running.discard(id(job))
        self._disowned.discard(id(job))
        weights, ways = zip(*_OUTCOMES, strict=True)
        self._ended.append((job, self._rng.choices(ways, weights)[0]()))
        self._busy += seconds
        self._free += 1
        self.idle_since = self._agenda.now
        self._begin()
        self._wake()

    def collect(self) -> list[tuple[ClaimedJob, Outcome]]:
        ended, self._ended = self._ended, []
        return ended

    def take_back(self) -> list[ClaimedJob]:
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def unstarted(self) -> int:
        return len(self._waiting)

    def disown(self, _: str) -> None:
        self.take_back()
        self._disowned |= self._running

    def disowned(self) -> int:
        return len(self._disowned)

    def running(self) -> dict[int, Any]:
        return {}

    def busy_seconds(self) -> float:
        return self._busy

    def has_ended(self) -> bool:
        return bool(self._ended)
