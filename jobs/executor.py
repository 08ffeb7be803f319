"""Runs handlers, each kind in its way (`jobs/running`), and hands back (job, outcome) pairs.

The scheduler puts claimed jobs in and collects what ended; it is woken only when the threads run dry or an async job
ended. Nothing here writes to a job.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from jobs.completion import failed
from jobs.context import JobContext, Report
from jobs.errors import JobTimeout, UnknownKind
from jobs.registry import JobKind, Registry
from jobs.running.attempts import Attempts, Ended
from jobs.running.coroutines import Coroutines
from jobs.running.gate import Gate
from jobs.running.processes import Processes
from jobs.running.threads import Threads
from jobs.store.values import ClaimedJob

__all__ = ["Ended", "Executor"]

_YIELD = 0.00005


class Executor:
    """`concurrency` jobs at once. `wake` is called from other threads when the scheduler has something to do."""

    def __init__(self, *, registry: Registry, concurrency: int, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._concurrency = concurrency
        self._attempts = Attempts()
        gate = Gate()
        self._processes = Processes(self._attempts)
        self._threads = Threads(
            self._attempts, self._processes, gate, registry=registry, concurrency=concurrency, wake=wake
        )
        self._coroutines = Coroutines(self._attempts, gate, concurrency=concurrency, wake=wake)
        self._disowned: set[JobContext] = set()

    def start(self) -> None:
        if any(kind.isolation == "process" for kind in self._registry):
            self._processes.start()
        self._threads.start()
        if any(_on_the_loop(kind) for kind in self._registry):
            self._coroutines.start()

    def stop(self, *, timeout: float = 1.0) -> None:
        """End what is idle; whoever is inside a handler ends with the process. Idempotent."""
        deadline = time.monotonic() + timeout
        self._processes.stop()
        self._coroutines.stop(deadline)
        self._threads.stop(deadline)

    def put(self, jobs: list[ClaimedJob]) -> None:
        self._threads.low_water = len(jobs) // 4
        loops = (
            {kind.name: kind for kind in self._registry if _on_the_loop(kind)}
            if self._coroutines.runs()
            else {}
        )
        for job in jobs:
            if job.kind in loops:
                self._coroutines.put(loops[job.kind], job)
            else:
                self._threads.put(job)
        if 0 < len(jobs) <= self._concurrency - len(self._attempts.inside):
            # The interpreter would let the caller go on with what is not urgent before an idle thread may begin.
            time.sleep(_YIELD)

    def collect(self) -> list[Ended]:
        """Everything that ended since the last call."""
        ended = self._attempts.ended
        return [ended.popleft() for _ in range(len(ended))]

    def reports(self) -> list[Report]:
        """Log lines and progress since the last call."""
        return self._attempts.reports.take()

    def unsaid(self) -> Counter[int]:
        """Log lines dropped for want of room since the last call, by job."""
        return self._attempts.reports.take_dropped()

    def keep_reports(self, reports: list[Report], dropped: Counter[int]) -> None:
        """They could not be written; the next call of `reports` and `unsaid` gives them again."""
        self._attempts.reports.put_back(reports, dropped)

    def unstarted(self) -> int:
        return self._threads.unstarted() + self._coroutines.unstarted()

    def take_back(self) -> list[ClaimedJob]:
        """Jobs that nobody has begun; they will not run here."""
        return [*self._coroutines.take_back(), *self._threads.take_back()]

    def disown(self, reason: str) -> None:
        """All jobs belong to others now: what has not begun never will, and whoever listens stops."""
        self.take_back()
        self._disowned = self._attempts.inside.copy()
        for context in self._disowned:
            # Somebody else begins these in a moment: a handler that listens does not go on beside its successor.
            context.request_cancel(reason, at_once=True)

    def disowned(self) -> int:
        """How many handlers of such jobs still hold their places. From any thread."""
        disowned = self._disowned
        # Not `&=`: that binds the old set again, over the one that another thread may just have put in its place.
        disowned.intersection_update(self._attempts.inside)
        return len(disowned)

    def running(self) -> dict[int, JobContext]:
        """The contexts of the jobs that run now, by job id."""
        return dict(self._attempts.running)

    def busy_seconds(self) -> float:
        """Time spent inside handlers since the start, all together."""
        return self._attempts.busy_seconds

    def request_cancel(self, job_id: int, reason: str) -> None:
        context = self._attempts.running.get(job_id)
        if context is not None:
            context.request_cancel(reason)

    def give_up_overdue(self, *, grace: float) -> list[JobContext]:
        """End attempts that run on `grace` seconds after their deadline; their places are filled anew.

        Those in processes are killed by whoever watches them.
        """
        now = time.monotonic()
        # Not only the latest of each job: after a loss another attempt of it may run here, beside the first.
        late = [
            context
            for context in self._attempts.inside.copy()
            if context.deadline is not None and now > context.deadline + grace
        ]
        return [context for context in late if self._give_up(context)]

    def _give_up(self, context: JobContext) -> bool:
        kind = self._kind(context.job)
        if kind is None or kind.isolation == "process":
            return False
        message = f"{context.too_late}; its handler did not stop and was left behind"
        if not self._attempts.give_up(context, failed(JobTimeout, message)):
            return False
        if _on_the_loop(kind):
            self._coroutines.add_slot()
        else:
            self._threads.add_thread()
        return True

    def left_behind(self) -> int:
        """How many handlers still run whose attempts were given up."""
        return self._attempts.left_behind()

    def has_ended(self) -> bool:
        return bool(self._attempts.ended)

    def _kind(self, job: ClaimedJob) -> JobKind | None:
        try:
            return self._registry.get(job.kind)
        except UnknownKind:
            return None


def _on_the_loop(kind: JobKind) -> bool:
    return kind.is_async and kind.isolation == "thread"
