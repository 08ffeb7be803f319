"""Runs sync handlers in threads, one job a thread at a time.

A handler's own code is the only place where every exception is caught. The threads wake the scheduler only when they
run dry, because a wake-up per job would cost more than a short job itself.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from django.db import connections

from jobs import completion
from jobs.context import JobContext
from jobs.errors import UnknownKind
from jobs.outcomes import GiveBack, Outcome
from jobs.registry import JobKind, Registry
from jobs.running import atomic
from jobs.running.attempts import Attempts
from jobs.running.cleaning import clean_connections
from jobs.running.gate import Gate, is_asked_about
from jobs.running.processes import Processes
from jobs.store.values import ClaimedJob

__all__ = ["Threads"]

logger = logging.getLogger("opsched.worker")


class Threads:
    """`concurrency` threads over one queue of jobs."""

    def __init__(
        self,
        attempts: Attempts,
        processes: Processes,
        gate: Gate,
        *,
        registry: Registry,
        concurrency: int,
        wake: Callable[[], None],
    ) -> None:
        self._attempts = attempts
        self._processes = processes
        self._gate = gate
        self._registry = registry
        self._concurrency = concurrency
        self._wake = wake
        self._queue: SimpleQueue[ClaimedJob | None] = SimpleQueue()
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self.low_water = 0
        """Wake the scheduler when so few jobs are left."""

    def start(self) -> None:
        for _ in range(self._concurrency):
            self.add_thread()

    def add_thread(self) -> None:
        """One thread more: at the start, and in the place of one that is left behind in its handler."""
        number = next(self._numbers)
        thread = threading.Thread(target=self._serve, name=f"opsched-run-{number}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self, deadline: float) -> None:
        """End the threads that are idle; those inside a handler are daemons and end with the process."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in list(self._threads):  # one that was left behind takes itself out
            thread.join(max(0.0, deadline - time.monotonic()))

    def put(self, job: ClaimedJob) -> None:
        self._queue.put(job)

    def unstarted(self) -> int:
        return self._queue.qsize()

    def take_back(self) -> list[ClaimedJob]:
        jobs = []
        # Threads take from the same end meanwhile, also the last one: look and take must be one step.
        with contextlib.suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    jobs.append(job)
        return jobs

    # -- the threads' side ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            began = time.monotonic()
            try:
                outcome = self._run(job, began)
            except BaseException as error:
                # A thread that ended would keep its job for ever, since its worker lives: nobody would rescue it.
                logger.exception("job %d: what runs its handler failed", job.id)
                outcome = completion.failure(error)
            if outcome is None:
                self._threads.remove(threading.current_thread())
                break  # another thread has its place
            self._attempts.end(job, outcome, began)
            if self._queue.qsize() <= self.low_water:
                self._wake()
        connections.close_all()

    def _run(self, job: ClaimedJob, began: float) -> Outcome | None:
        """The outcome; None when the attempt was given up meanwhile."""
        kind = self._kind(job)
        if kind is None:
            return GiveBack(f'this worker knows no kind "{job.kind}"')
        if not is_asked_about(job):
            return self._attempt(kind, job, began)
        try:
            verdict = self._gate.enter(job)
            return self._attempt(kind, job, time.monotonic()) if verdict is None else verdict
        finally:
            self._gate.leave(job)

    def _attempt(self, kind: JobKind, job: ClaimedJob, began: float) -> Outcome | None:
        context = self._attempts.begin(kind, job, began)
        if kind.isolation == "process":
            try:
                return self._processes.run(kind, job, context)
            finally:
                self._attempts.forget(context)
        try:
            outcome = atomic.run(kind, context, job) if kind.atomic else _call(kind, context)
        except BaseException as error:  # noqa: BLE001 - the boundary around user code: whatever it raises is its outcome
            outcome = completion.failure(error)
        finally:
            self._attempts.forget(context)
            clean_connections()
        if not context.end():
            self._attempts.came_late(context)
            return None
        return self._attempts.judged(context, outcome)

    def _kind(self, job: ClaimedJob) -> JobKind | None:
        try:
            return self._registry.get(job.kind)
        except UnknownKind:
            return None


def _call(kind: JobKind, context: JobContext) -> Outcome:
    return completion.outcome_of(kind.fn(context, context.payload))
