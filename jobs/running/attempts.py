"""What every way of running shares: the attempts under way, those that ended, and what their handlers said.

The runners call `begin` and `end` around a handler; the executor's owner collects. No locks here: each operation on a
deque or a dict is one step of the interpreter.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable

from jobs.completion import failed
from jobs.context import JobContext, Report
from jobs.errors import JobTimeout
from jobs.outcomes import GiveBack, Outcome, Settled
from jobs.registry import JobKind
from jobs.running.reports import Reports
from jobs.store.values import ClaimedJob

__all__ = ["Attempts", "Ended"]

Ended = tuple[ClaimedJob, Outcome]

logger = logging.getLogger("opsched.worker")


class Attempts:
    """The attempts of one executor. `running`: contexts by job id, of each job the latest; `inside`: all of them.

    `busy_seconds`: inside handlers, all together.
    `report` takes what handlers say; without one it is kept in `reports`.
    """

    def __init__(self, *, report: Callable[[Report], None] | None = None) -> None:
        self.ended: deque[Ended] = deque()
        self.reports = Reports()
        self._report = report or self.reports.append
        self.running: dict[int, JobContext] = {}
        self.busy_seconds = 0.0
        self.inside: set[JobContext] = set()
        self._left: set[JobContext] = set()

    def begin(self, kind: JobKind, job: ClaimedJob, began: float) -> JobContext:
        """The context of an attempt that starts now; it runs until `forget`."""
        timeout = kind.timeout
        if job.options is not None:
            timeout = json.loads(job.options).get("timeout", timeout)
        context = JobContext(
            job,
            json.loads(job.payload) if job.payload != "{}" else {},
            report=self._report,
            began=began,
            deadline=_sooner(None if timeout is None else began + timeout, job.stop_at),
        )
        self.running[job.id] = context
        self.inside.add(context)
        return context

    def forget(self, context: JobContext) -> None:
        self.inside.discard(context)
        # A worker that was declared lost may run a later attempt of the same job beside the first one.
        if self.running.get(context.job_id) is context:
            self.running.pop(context.job_id, None)

    def end(self, job: ClaimedJob, outcome: Outcome, began: float) -> None:
        spent = time.monotonic() - began
        # Before the end, or whoever collects that could take a long job for one of no length. No call in here:
        # another thread's addition could come between.
        self.busy_seconds += spent
        self.ended.append((job, outcome))

    def give_up(self, context: JobContext, outcome: Outcome) -> bool:
        """End an attempt whose handler runs on. False when the handler was faster."""
        self._left.add(context)
        if not context.end():
            self._left.discard(context)
            return False
        self.forget(context)
        self.end(context.job, outcome, context.began)
        return True

    def came_late(self, context: JobContext) -> None:
        """The handler of an attempt that was given up has ended after all."""
        self._left.discard(context)
        logger.warning("job %d ended after it had been given up; its answer is refused", context.job_id)

    def left_behind(self) -> int:
        """How many handlers still run whose attempts were given up."""
        return len(self._left)

    @staticmethod
    def judged(context: JobContext, outcome: Outcome) -> Outcome:
        """An attempt that took longer than its timeout has failed, whatever the handler made of it."""
        if context.timed_out and not isinstance(outcome, GiveBack | Settled):
            return failed(JobTimeout, context.too_late)
        return outcome


def _sooner(one: float | None, other: float | None) -> float | None:
    """An attempt's time is up at its timeout or at its job's deadline, whichever comes first."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
