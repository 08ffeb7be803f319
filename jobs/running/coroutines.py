"""Runs async handlers on one event loop in a thread of its own.

A handler's own code is the only place where every exception is caught: neither its errors nor its exits end the loop
of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from jobs import completion
from jobs.context import JobContext
from jobs.errors import JobCancelled
from jobs.outcomes import Completed, Outcome
from jobs.registry import JobKind
from jobs.running.attempts import Attempts
from jobs.running.cleaning import clean_connections
from jobs.running.gate import Gate, is_asked_about
from jobs.store.values import ClaimedJob

__all__ = ["Coroutines", "until_cancelled"]

logger = logging.getLogger("opsched.worker")

_SHARE = 0.7
"""Of the time that `stop` gives: the loop ends before it is over, so that what is kept is kept."""
_never_ended: set[asyncio.Task[Any]] = set()


class Coroutines:
    """At most `concurrency` async jobs at once; `put` may be called from another thread."""

    def __init__(self, attempts: Attempts, gate: Gate, *, concurrency: int, wake: Callable[[], None]) -> None:
        self._attempts = attempts
        self._gate = gate
        self._concurrency = concurrency
        self._wake = wake
        self._waiting: deque[tuple[JobKind, ClaimedJob]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: asyncio.Semaphore | None = None
        self._thread: threading.Thread | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._cleaned_at = float("-inf")
        self._ends_at = float("inf")

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(self._concurrency)
        self._thread = threading.Thread(
            target=self._run_loop, args=(self._loop,), name="opsched-async", daemon=True
        )
        self._thread.start()

    def stop(self, deadline: float) -> None:
        now = time.monotonic()
        self._ends_at = now + _SHARE * max(0.0, deadline - now)  # first: a handler may have stopped the loop
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def runs(self) -> bool:
        return self._loop is not None

    def put(self, kind: JobKind, job: ClaimedJob) -> None:
        assert self._loop is not None  # noqa: S101 - the executor asks `runs` first
        self._waiting.append((kind, job))
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop)

    def unstarted(self) -> int:
        return len(self._waiting)

    def take_back(self) -> list[ClaimedJob]:
        jobs = []
        # The loop takes from the same end meanwhile, also the last one: look and take must be one step.
        with contextlib.suppress(IndexError):
            while True:
                jobs.append(self._waiting.popleft()[1])
        return jobs

    # -- the loop's side -----------------------------------------------------------------------------------------------

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        # A handler can stop the loop, or end it by an exit in a task of its own; the jobs of the others go on.
        while self._loop is loop:
            try:
                loop.run_forever()
            except BaseException:
                logger.exception("a handler broke out of the loop of async jobs, which goes on")
        _end(loop, self._ends_at)

    async def _serve(self) -> None:
        """Run the next async job. One of these is made for each job, so one that finds none has no more to do."""
        assert self._slots is not None  # noqa: S101 - made together with the loop this runs on
        await self._slots.acquire()
        try:
            kind, job = self._waiting.popleft()
        except IndexError:
            self._slots.release()  # taken back
            return
        began = time.monotonic()
        try:
            outcome = await self._run(kind, job, began)
        except Exception as error:
            # Nobody looks at this task: its slot and its job would be gone for as long as the worker lives.
            logger.exception("job %d: what runs its handler failed", job.id)
            outcome = completion.failure(error)
        if outcome is None:
            return  # another has had its place since it was given up
        self._attempts.end(job, outcome, began)
        self._slots.release()
        self._wake()

    def add_slot(self) -> None:
        """A place for the next job, since one is left behind in its handler. From any thread."""
        if self._loop is not None and self._slots is not None:
            _later(self._loop, self._slots.release)

    async def _run(self, kind: JobKind, job: ClaimedJob, began: float) -> Outcome | None:
        """The outcome; None when the attempt was given up meanwhile."""
        if not is_asked_about(job):
            return await self._attempt(kind, job, began)
        try:
            verdict = await asyncio.to_thread(self._ask, job)
            return await self._attempt(kind, job, time.monotonic()) if verdict is None else verdict
        finally:
            self._gate.leave(job)

    def _ask(self, job: ClaimedJob) -> Outcome | None:
        try:
            return self._gate.enter(job)
        finally:
            connections.close_all()  # the thread is anybody's

    async def _attempt(self, kind: JobKind, job: ClaimedJob, began: float) -> Outcome | None:
        context = self._attempts.begin(kind, job, began)
        try:
            outcome = completion.outcome_of(await until_cancelled(context, kind.fn(context, context.payload)))
        except BaseException as error:  # noqa: BLE001 - the boundary around user code: whatever it raises is its outcome
            outcome = completion.failure(error)
        finally:
            self._attempts.forget(context)
        self._clean_beside(failed=not isinstance(outcome, Completed))
        if not context.end():
            self._attempts.came_late(context)
            return None
        return self._attempts.judged(context, outcome)

    def _clean_beside(self, *, failed: bool) -> None:
        """Async handlers reach Django's connections in a thread of asgiref's, where a broken one would stay broken.

        After each failure and once a second; nobody waits for it, since that thread may be held up by another job.
        """
        if not failed and time.monotonic() < self._cleaned_at + 1.0:
            return
        if self._cleaning is None or self._cleaning.done():
            self._cleaned_at = time.monotonic()
            self._cleaning = asyncio.get_running_loop().create_task(sync_to_async(clean_connections)())


async def until_cancelled(context: JobContext, answer: Awaitable[Any]) -> Any:
    """What the handler answers. It is cancelled at its next `await` when its time is up or somebody asks for it.

    Once, though each heartbeat tells of the request anew: a second cancellation would meet the handler tidying up.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    inside, told = True, False

    def cancel() -> None:
        nonlocal told
        # In the loop's own thread, so that it cannot meet the task in our code, after the handler has ended.
        if inside and not told and task is not None:
            told = True
            task.cancel()

    context.when_cancelled(lambda: _later(loop, cancel))
    try:
        async with asyncio.timeout(context.seconds_left()):
            return await answer
    except asyncio.CancelledError:
        if context.cancel_requested:
            raise JobCancelled(context.cancel_reason or "cancelled") from None
        raise
    finally:
        inside = False
        context.when_cancelled(None)


def _end(loop: asyncio.AbstractEventLoop, deadline: float) -> None:
    """Cancel what is left, let it end until the deadline, and close the loop.

    What does not end in time is kept: the collector would end it in the middle of whatever it interrupts, and a
    coroutine of asgiref's sets context variables as it ends, which before Python 3.12 can bring the interpreter down.
    """
    told: set[asyncio.Task[Any]] = set()
    # Anew each time: one that ends may have begun another.
    while (left := asyncio.all_tasks(loop)) and time.monotonic() < deadline:
        for task in left - told:
            task.cancel()
        told |= left
        _run_until(loop, asyncio.wait(left, timeout=deadline - time.monotonic()))
    if not left:
        _run_until(loop, asyncio.wait_for(loop.shutdown_asyncgens(), max(0.01, deadline - time.monotonic())))
    _never_ended.update(asyncio.all_tasks(loop))
    loop.close()


def _run_until(loop: asyncio.AbstractEventLoop, end: Coroutine[Any, Any, Any]) -> None:
    try:
        loop.run_until_complete(end)
    except TimeoutError:
        logger.warning("async generators of handlers did not end in time")
    except BaseException:
        logger.exception("a handler that was cancelled broke out of the loop of async jobs")


def _later(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(call)
