"""Gives up attempts whose handler does not look: too long after its timeout the worker goes on without it.

A thread cannot be stopped, so it is left behind and another one takes its place; the attempt is recorded as timed out,
and what the thread answers in the end is refused. Too many threads left behind end the worker, loudly, to begin anew.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from jobs import conf
from jobs.executor import Executor
from jobs.loop import Loop

__all__ = ["Overdue", "TooManyLeftBehind"]

logger = logging.getLogger("opsched.worker")

INTERVAL = 0.25


class TooManyLeftBehind(RuntimeError):
    """More handlers than `MAX_ABANDONED` run on past their time; only a new process is rid of them."""


class Overdue(Loop):
    """Looks four times a second; asks nothing of the database. `stats`: the worker's counters."""

    def __init__(
        self,
        *,
        executor: Executor,
        stats: Callable[[], Counter[str]],
        wake: Callable[[], None],
        on_death: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(name="overdue", interval=INTERVAL, on_death=on_death)
        self._executor = executor
        self._stats = stats
        self._wake = wake
        self._grace = conf.get().KILL_GRACE_SECONDS
        self._most = conf.get().MAX_ABANDONED
        self._told = False

    def tick(self) -> int:
        given_up = self._executor.give_up_overdue(grace=self._grace)
        for context in given_up:
            logger.error(
                "job %d (%s) did not stop %g s after its timeout; its attempt has failed, and it is left behind",
                context.job_id, context.kind, self._grace,
            )  # fmt: skip
        if given_up:
            self._stats()["abandoned"] += len(given_up)
            self._wake()
        left_behind = self._executor.left_behind()
        if left_behind > self._most and not self._told:
            self._told = True
            raise TooManyLeftBehind(
                f"{left_behind} handlers run on past their time; at most {self._most} are allowed"
            )
        return len(given_up)
