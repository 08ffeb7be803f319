"""What a handler is given besides its payload: who it is, how far it may go, and a way to report.

Nothing here touches the database while the handler runs, except `parents()` and `once()`: log lines and progress are
handed to the worker, which writes them in batches.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.db import connection

from jobs.errors import JobCancelled, JobTimeout
from jobs.once import Scope, aonce, once
from jobs.store.statements import rows
from jobs.store.values import ClaimedJob

__all__ = ["JobContext", "Report"]

MAX_LINE = 4000
# (job id, attempt, unix seconds, level, line) or (job id, attempt, fraction, note)
Report = tuple[Any, ...]


class JobContext:
    """The view a running handler has of its job. Its methods may be called from any thread."""

    __slots__ = (
        "_cancel_reason",
        "_job",
        "_on_cancel",
        "_open",
        "_report",
        "at_once",
        "began",
        "deadline",
        "payload",
    )

    def __init__(
        self,
        job: ClaimedJob,
        payload: dict[str, Any],
        *,
        report: Callable[[Report], None],
        began: float,
        deadline: float | None = None,
    ) -> None:
        self._job = job
        self._report = report
        self._cancel_reason: str | None = None
        self._on_cancel: Callable[[], None] | None = None
        self._open = [True]
        self.at_once = False
        self.payload = payload
        self.began = began
        """On `time.monotonic()`."""
        self.deadline = deadline
        """When the attempt's time is up, on `time.monotonic()`; None for no limit."""

    @property
    def job(self) -> ClaimedJob:
        """For the runners: the claim this attempt belongs to."""
        return self._job

    @property
    def job_id(self) -> int:
        return self._job.id

    @property
    def kind(self) -> str:
        return self._job.kind

    @property
    def queue(self) -> str:
        return self._job.queue

    @property
    def attempt(self) -> int:
        """Number of this try, from 1."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        return self._job.max_attempts

    @property
    def workflow_id(self) -> int | None:
        return self._job.workflow_id

    @property
    def task(self) -> str:
        """The job's key in its workflow; empty outside one."""
        return self._job.task

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this job: hand it to services that can refuse a repeated effect."""
        return f"opsched-job-{self._job.id}"

    @property
    def cancelled(self) -> bool:
        """True when the handler should stop: somebody asked, the worker stops now, or the time is up."""
        return self._cancel_reason is not None or self.timed_out

    @property
    def cancel_requested(self) -> bool:
        """True when somebody asked for this job to be cancelled (time being up does not count)."""
        return self._cancel_reason is not None

    @property
    def cancel_reason(self) -> str:
        return self._cancel_reason or ""

    @property
    def timed_out(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def raise_if_cancelled(self) -> None:
        """Raise JobCancelled or JobTimeout where the handler should stop; call it between steps."""
        if self._cancel_reason is not None:
            raise JobCancelled(self._cancel_reason or "cancelled")
        if self.timed_out:
            raise JobTimeout(self.too_late)

    @property
    def too_late(self) -> str:
        """What to say when the time is up: was it the attempt's timeout, or the job's deadline?"""
        if self._job.stop_at is not None and self._job.stop_at == self.deadline:
            return "the attempt ran past its job's deadline"
        return "the attempt ran longer than its timeout"

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the work is: 0..1, with up to 500 characters. The latest word is kept."""
        if not math.isfinite(fraction):
            raise ValueError(f"progress must be a number within 0..1, not {fraction}")
        done = min(1.0, max(0.0, float(fraction)))
        self._report((self._job.id, self._job.attempt, done, _storable(str(note or "")[:500])))

    def log(self, line: str, level: str = "info") -> None:
        """Keep a line with the job (at most 4,000 characters; the newest lines are kept)."""
        text = str(line)
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]}… ({len(text)} characters)"
        level = _storable(str(level)[:10])
        self._report((self._job.id, self._job.attempt, time.time(), level, _storable(text)))

    def once(self, key: str, fn: Callable[[], Any], *, scope: Scope = "global", wait: float = 30.0) -> Any:
        """Run `fn` unless this key is recorded, record it with its result (JSON), and return the result.

        For effects on the outside world. The record is committed before this returns, in a transaction of its own, also
        inside an atomic handler. A crash between the effect and its record repeats it, so hand the other side a key it
        can refuse repetitions by. Raises EffectBusy when another attempt holds the key for longer than `wait` seconds.
        """
        return once(self._job, key, fn, scope=scope, wait=wait, stop=self.raise_if_cancelled)

    async def aonce(
        self,
        key: str,
        fn: Callable[[], Awaitable[Any] | Any],
        *,
        scope: Scope = "global",
        wait: float = 30.0,
    ) -> Any:
        """`once` for async handlers; `fn` may be a coroutine function."""
        return await aonce(self._job, key, fn, scope=scope, wait=wait, stop=self.raise_if_cancelled)

    def parents(self) -> dict[str, Any]:
        """The results of the parents by their keys; empty outside a workflow. One query."""
        if self._job.workflow_id is None:
            return {}
        with connection.cursor() as cursor:
            found = rows(cursor, "parents_results", {"job": self._job.id})
        return {task: None if result is None else json.loads(result) for task, result in found}

    def seconds_left(self) -> float | None:
        """Seconds until the deadline, not below 0; None for no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def request_cancel(self, reason: str, *, at_once: bool = False) -> None:
        """For the worker: ask the handler to stop. `at_once`: the job is somebody else's from now on."""
        self._cancel_reason = reason
        self.at_once = self.at_once or at_once
        if self._on_cancel is not None:
            self._on_cancel()

    def postpone(self, seconds: float) -> None:
        """For the runners: the handler begins so much later than its timeout. A job's deadline does not move."""
        if self.deadline is not None and self.deadline != self._job.stop_at:
            later = self.deadline + seconds
            self.deadline = later if self._job.stop_at is None else min(later, self._job.stop_at)

    def end(self) -> bool:
        """For the runners: True for the first who ends this attempt; whoever comes later has no say."""
        try:
            return self._open.pop()
        except IndexError:
            return False

    def when_cancelled(self, call: Callable[[], None] | None) -> None:
        """For the runners: `call` is called, in any thread, when somebody asks; now, if they have asked before."""
        self._on_cancel = call
        if call is not None and self._cancel_reason is not None:
            call()


def _storable(text: str) -> str:
    # PostgreSQL refuses NUL and lone surrogates; a log line is not worth failing a job for.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
