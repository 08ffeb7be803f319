"""Several worker processes under one parent: started by fork, ended together, started again when they crash.

The parent runs no jobs and holds no connection. Children end when it does, however it ends: they watch a pipe that
closes with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

__all__ = ["Supervisor"]

logger = logging.getLogger("opsched.worker")

RESTART_WAIT = 1.0
QUICK_DEATHS = 5
_CAUGHT = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """`count` children running `child(parent_fd, number)`, whose return value is their exit code."""

    def __init__(self, *, count: int, child: Callable[[int, int], int]) -> None:
        self._count = count
        self._child = child
        self._pids: dict[int, int] = {}
        self._born: dict[int, float] = {}
        self._deaths = 0
        self._stopping = False
        self._read_end, self._write_end = os.pipe()

    def run(self) -> int:
        """Returns 0 after a stop on purpose, 1 when children keep dying."""
        for caught in _CAUGHT:
            signal.signal(caught, self._pass_on)
        for number in range(self._count):
            self._spawn(number)
        while self._pids:
            if again := self._reap(*os.wait()):
                # One pause for all: the children of a parent whose machine is short of memory die together.
                time.sleep(RESTART_WAIT)
                for number in [*again, *self._reap_others()]:
                    self._spawn(number)
        return 1 if self._deaths >= QUICK_DEATHS else 0

    def _spawn(self, number: int) -> None:
        # A signal between fork and the line that notes the child would miss it, or find this handler in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
        try:
            if self._stopping:
                return
            pid = os.fork()
            if pid == 0:
                self._be_child(number)
            self._pids[pid] = number
            self._born[pid] = time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)

    def _be_child(self, number: int) -> NoReturn:
        code = 1
        try:
            os.close(self._write_end)
            for caught in _CAUGHT:
                signal.signal(caught, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
            code = self._child(self._read_end, number)
        except Exception:
            logger.exception("worker process %d ended by an error", os.getpid())
        finally:
            # The parent's exit handlers are not this process's to run.
            os._exit(code)

    def _reap_others(self) -> list[int]:
        """The numbers of those that have ended meanwhile and are to be started again."""
        again: list[int] = []
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            again += self._reap(pid, status)
        return again

    def _reap(self, pid: int, status: int) -> list[int]:
        """The number of a child that is to be started again, if it is."""
        number, code = self._pids.pop(pid, None), os.waitstatus_to_exitcode(status)
        if number is None or self._stopping or code == 0:
            return []
        self._count_death(code, time.monotonic() - self._born.pop(pid))
        if self._deaths >= QUICK_DEATHS:
            logger.error("worker processes keep dying; stopping")
            self._stop(signal.SIGTERM)
            return []
        logger.error("worker process %d ended with %d; starting another", pid, code)
        return [number]

    def _count_death(self, code: int, lived: float) -> None:
        # Only an error that a child ended with says that it cannot run. One that was killed (by an operator, the
        # kernel for want of memory, a job that took its process along) would have gone on.
        if code > 0:
            self._deaths = self._deaths + 1 if lived < 10 else 1

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._stop(number)

    def _stop(self, number: int) -> None:
        self._stopping = True
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):  # ended a moment ago
                os.kill(pid, number)
