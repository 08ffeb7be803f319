"""Runs handlers: sync ones in threads, async ones on one event loop; hands back (job, outcome) pairs.

A handler's own code is the only place where every exception is caught. The scheduler puts claimed jobs in and collects
what ended; it is woken only when the threads run dry or a job ended with nothing left to start, because a wake-up per
job would cost more than a short job itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from asgiref.sync import sync_to_async
from django.db import connections

from jobs import completion
from jobs.context import JobContext, Report
from jobs.errors import JobTimeout, UnknownKind
from jobs.outcomes import Completed, Failed, GiveBack, Outcome
from jobs.registry import JobKind, Registry
from jobs.store.values import ClaimedJob

__all__ = ["Ended", "Executor"]

Ended = tuple[ClaimedJob, Outcome]
# Log lines and progress that nobody has written yet: while the database is away, handlers go on talking.
REPORTS_AT_MOST = 10_000

logger = logging.getLogger("opsched.worker")


class Executor:
    """`concurrency` jobs at once. `wake` is called from other threads when the scheduler has something to do."""

    def __init__(self, *, registry: Registry, concurrency: int, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._concurrency = concurrency
        self._wake = wake
        self._queue: SimpleQueue[ClaimedJob | None] = SimpleQueue()
        self._waiting: deque[tuple[JobKind, ClaimedJob]] = deque()  # the same for async jobs
        self._ended: deque[Ended] = deque()
        self._reports: deque[Report] = deque(maxlen=REPORTS_AT_MOST)  # the newest, as in the database
        self._running: dict[int, JobContext] = {}
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: asyncio.Semaphore | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._cleaned_at = float("-inf")
        self._busy_seconds = 0.0
        self._low_water = 0

    def start(self) -> None:
        for number in range(self._concurrency):
            thread = threading.Thread(target=self._serve, name=f"opsched-run-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        if any(kind.is_async for kind in self._registry):
            self._start_loop()

    def _start_loop(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(self._concurrency)
        thread = threading.Thread(
            target=self._run_loop, args=(self._loop,), name="opsched-async", daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        # A handler can stop the loop, or end it by an exit in a task of its own; the jobs of the others go on.
        while self._loop is loop:
            try:
                loop.run_forever()
            except BaseException:
                logger.exception("a handler broke out of the loop of async jobs, which goes on")
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def stop(self, *, timeout: float = 1.0) -> None:
        """End the threads that are idle; those inside a handler are daemons and end with the process. Idempotent."""
        for _ in self._threads:
            self._queue.put(None)
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    # -- the scheduler's side ------------------------------------------------------------------------------------------

    def put(self, jobs: list[ClaimedJob]) -> None:
        self._low_water = len(jobs) // 4
        for job in jobs:
            kind = self._kind(job)
            if kind is not None and kind.is_async and self._loop is not None:
                self._waiting.append((kind, job))
                asyncio.run_coroutine_threadsafe(self._serve_async(), self._loop)
            else:
                self._queue.put(job)

    def collect(self) -> list[Ended]:
        """Everything that ended since the last call."""
        ended = self._ended
        return [ended.popleft() for _ in range(len(ended))]

    def reports(self) -> list[Report]:
        """Log lines and progress since the last call."""
        reports = self._reports
        return [reports.popleft() for _ in range(len(reports))]

    def unstarted(self) -> int:
        return self._queue.qsize() + len(self._waiting)

    def take_back(self) -> list[ClaimedJob]:
        """Jobs that nobody has begun; they will not run here."""
        jobs = []
        # Threads and the loop take from the same end meanwhile, also the last one: look and take must be one step.
        with contextlib.suppress(IndexError):
            while True:
                jobs.append(self._waiting.popleft()[1])
        with contextlib.suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    jobs.append(job)
        return jobs

    def running(self) -> dict[int, JobContext]:
        """The contexts of the jobs that run now, by job id."""
        return dict(self._running)

    def busy_seconds(self) -> float:
        """Time spent inside handlers since the start, all threads together."""
        return self._busy_seconds

    def request_cancel(self, job_id: int, reason: str) -> None:
        context = self._running.get(job_id)
        if context is not None:
            context.request_cancel(reason)

    def has_ended(self) -> bool:
        return bool(self._ended)

    # -- the threads' side ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            began = time.monotonic()
            self._ended.append((job, self._run(job, began)))
            self._busy_seconds += time.monotonic() - began
            if self._queue.qsize() <= self._low_water:
                self._wake()
        connections.close_all()

    def _run(self, job: ClaimedJob, began: float) -> Outcome:
        kind = self._kind(job)
        if kind is None:
            return GiveBack(f'this worker knows no kind "{job.kind}"')
        context = self._context(kind, job, began)
        try:
            outcome = completion.outcome_of(kind.fn(context, context.payload))
        except BaseException as error:  # noqa: BLE001 - the boundary around user code: whatever it raises is its outcome
            outcome = completion.failure(error)
        finally:
            self._forget(context)
            _clean_connections()
        return self._after(context, outcome)

    async def _serve_async(self) -> None:
        """Run the next async job. One of these is made for each job, so one that finds none has no more to do."""
        assert self._slots is not None  # noqa: S101 - made together with the loop this runs on
        async with self._slots:
            try:
                kind, job = self._waiting.popleft()
            except IndexError:
                return  # taken back
            began = time.monotonic()
            self._ended.append((job, await self._run_async(kind, job, began)))
            self._busy_seconds += time.monotonic() - began
        self._wake()

    async def _run_async(self, kind: JobKind, job: ClaimedJob, began: float) -> Outcome:
        context = self._context(kind, job, began)
        limit = None if context.deadline is None else context.deadline - began
        try:
            async with asyncio.timeout(limit):
                outcome = completion.outcome_of(await kind.fn(context, context.payload))
        except BaseException as error:  # noqa: BLE001 - the boundary around user code: whatever it raises is its outcome
            outcome = completion.failure(error)
        finally:
            self._forget(context)
        self._clean_beside(failed=not isinstance(outcome, Completed))
        return self._after(context, outcome)

    def _clean_beside(self, *, failed: bool) -> None:
        """Async handlers reach Django's connections in a thread of asgiref's, where a broken one would stay broken.

        After each failure and once a second; nobody waits for it, since that thread may be held up by another job.
        """
        if not failed and time.monotonic() < self._cleaned_at + 1.0:
            return
        if self._cleaning is None or self._cleaning.done():
            self._cleaned_at = time.monotonic()
            self._cleaning = asyncio.get_running_loop().create_task(sync_to_async(_clean_connections)())

    def _context(self, kind: JobKind, job: ClaimedJob, began: float) -> JobContext:
        timeout = kind.timeout
        if job.options is not None:
            timeout = json.loads(job.options).get("timeout", timeout)
        context = JobContext(
            job,
            json.loads(job.payload),
            report=self._reports.append,
            deadline=None if timeout is None else began + timeout,
        )
        self._running[job.id] = context
        return context

    def _forget(self, context: JobContext) -> None:
        # A worker that was declared lost may run a later attempt of the same job beside the first one.
        if self._running.get(context.job_id) is context:
            self._running.pop(context.job_id, None)

    def _after(self, context: JobContext, outcome: Outcome) -> Outcome:
        """An attempt that took longer than its timeout has failed, whatever the handler made of it."""
        if context.timed_out and not isinstance(outcome, GiveBack):
            return Failed(error_class=JobTimeout.__name__, message="the attempt ran longer than its timeout")
        return outcome

    def _kind(self, job: ClaimedJob) -> JobKind | None:
        try:
            return self._registry.get(job.kind)
        except UnknownKind:
            return None


def _clean_connections() -> None:
    """What a handler did to this thread's Django connections is not the next job's to find."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            # A transaction left open: Django would go on in it, and the next job's writes would never be committed.
            connection.close()
            del connections[connection.alias]
        else:
            connection.close_if_unusable_or_obsolete()
