"""Runs handlers declared with `isolation="process"`, each in a child process that can be killed.

The thread that took the job watches over its child: whatever the child does (leaves, crashes, loops, blocks every
signal), that one job ends, with a word that says how. Children come from the standard library's fork server, which has
Django and the handlers loaded, are used for several jobs, and end with the worker, however that ends. Pebble's pool was
measured and left; docs/architecture.md says why.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from jobs import conf
from jobs.completion import failed
from jobs.context import JobContext
from jobs.errors import JobTimeout, ProcessDied
from jobs.outcomes import Cancel, GiveBack, Outcome
from jobs.registry import JobKind
from jobs.running.attempts import Attempts
from jobs.running.child import Ground, main
from jobs.running.wire import MOST_BESIDE, Unreadable, read
from jobs.store.values import ClaimedJob

__all__ = ["Processes"]

_CONTEXT = multiprocessing.get_context("forkserver")
_START_TRIES = 3
_DEATH_SECONDS = 5.0
# The fork server tells the end of a child once: two threads that ask at the same moment would each get half an answer.
_ASKING = threading.Lock()


class Processes:
    """The children of one worker. `run` is called from many threads, each of which has a child for itself."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start the fork server; called in the main thread, because it ends with the thread that started it."""
        _CONTEXT.set_forkserver_preload(["jobs.running.preload"])
        before = os.environ.get("PYTHONPATH")
        # It is a new interpreter: without this it would look for the project in its working folder only.
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        try:
            forkserver.ensure_running()
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
        atexit.register(self.stop)  # before multiprocessing waits for its children, of which some never end

    def stop(self) -> None:
        """Kill every child at once. Idempotent."""
        with self._lock:
            self._stopped = True
            children = list(self._all)
        for child in children:
            child.kill()
        atexit.unregister(self.stop)

    def run(self, kind: JobKind, job: ClaimedJob, context: JobContext) -> Outcome:
        """One attempt in a child; the outcome is final."""
        try:
            bell, rope = _CONTEXT.Pipe(duplex=False)
        except (
            OSError
        ) as error:  # this worker has no descriptor left, which ends an attempt and not its thread
            return failed(ProcessDied, f"no child process could be started: {error}")
        with bell, rope:
            return self._run(_Watch(kind, job, context, self._attempts, bell, rope))

    def _run(self, watch: _Watch) -> Outcome:
        why, asked_at = "it ended at once", time.monotonic()
        for _ in range(_START_TRIES):
            try:
                child = self._take()
            except (OSError, EOFError) as error:
                why = str(error) or type(error).__name__
                continue
            if child is None:
                return GiveBack("the worker stops")
            if watch.begin(child, waited=time.monotonic() - asked_at):
                outcome = watch.until_the_end(child)
                self._put_back(child)
                return outcome
            self._drop(child)  # it died while it had nothing to do
        return failed(ProcessDied, f"no child process could be started: {why}")

    def _take(self) -> _Child | None:
        """A child with nothing to do; None when the worker stops."""
        with self._lock:
            if self._stopped:
                return None
            if self._idle:
                return self._idle.pop()
        child = _Child(Ground.here())
        with self._lock:
            self._all.add(child)
            stopped = self._stopped
        if stopped:
            child.kill()
        return child

    def _put_back(self, child: _Child) -> None:
        if child.worn_out():
            self._drop(child)
        else:
            with self._lock:
                self._idle.append(child)

    def _drop(self, child: _Child) -> None:
        child.kill()
        child.close()
        with self._lock:
            self._all.discard(child)


class _Child:
    """One process and the pipe to it."""

    def __init__(self, ground: Ground) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=main, args=(theirs, ground), name="opsched-child")
        with theirs, _ASKING:
            self.process.start()
        assert self.process.pid is not None  # noqa: S101 - it has been started
        self.pid = self.process.pid
        self.sentinel: int = self.process.sentinel
        self.spent = False
        self._jobs = 0
        self._code: int | None = None

    def send(self, *words: Any) -> bool:
        """False when it has gone."""
        with suppress(OSError):
            self.pipe.send(words)
            self._jobs += 1
            return True
        return False

    def worn_out(self) -> bool:
        return self.spent or self._jobs >= conf.get().PROCESS_MAX_JOBS or self.exit_code() is not None

    def exit_code(self) -> int | None:
        """None while it lives; negative for a signal."""
        with _ASKING:
            if self._code is None:
                self._code = self.process.exitcode
            return self._code

    def kill(self) -> None:
        """End it with everything in its process group, and wait until the kernel has done so."""
        if self.exit_code() is None:
            self.kill_group()
            with suppress(ProcessLookupError):  # it may not have its group yet
                os.kill(self.pid, signal.SIGKILL)
            wait([self.sentinel], _DEATH_SECONDS)

    def kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left in it
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self.pipe.close()
        if self.exit_code() is not None:
            self.process.close()


class _Watch:
    """The attempt that a child runs, seen from its worker. `rope` rings `bell`, from any thread."""

    def __init__(
        self,
        kind: JobKind,
        job: ClaimedJob,
        context: JobContext,
        attempts: Attempts,
        bell: Connection,
        rope: Connection,
    ) -> None:
        self._kind = kind
        self._job = job
        self._context = context
        self._attempts = attempts
        self._grace = conf.get().KILL_GRACE_SECONDS
        self._kill_at = float("inf")
        self._longest = conf.get().MAX_RESULT_BYTES + MOST_BESIDE
        self._bell, self._rope = bell, rope

    def begin(self, child: _Child, *, waited: float) -> bool:
        """`waited`: for the child, which may have been a while with a fork server that loads everything first."""
        if not child.send("run", self._job, self._kind.fn.__module__):
            return False
        self._context.postpone(waited)
        if self._context.deadline is not None:
            self._kill_at = self._context.deadline + self._grace
        return True

    def until_the_end(self, child: _Child) -> Outcome:
        try:
            self._context.when_cancelled(self._ring)
            return self._watch(child)
        finally:
            self._context.when_cancelled(None)

    def _ring(self) -> None:
        with suppress(OSError):  # the attempt has just ended
            self._rope.send_bytes(b"!")

    def _watch(self, child: _Child) -> Outcome:
        things: list[Connection | int] = [child.pipe, child.sentinel, self._bell]
        while True:
            left = self._kill_at - time.monotonic()
            if left <= 0:
                return self._killed(child)
            found = wait(things, None if left == float("inf") else left)
            if child.pipe in found:
                outcome = self._heard(child)
                if outcome is not None:
                    return outcome
            elif child.sentinel in found:
                return self._died(child)
            if self._bell in found:
                self._bell.recv_bytes()
                self._pass_on_cancel(child)

    def _heard(self, child: _Child) -> Outcome | None:
        try:
            said = read(child.pipe.recv_bytes(self._longest), self._job)
        except Unreadable:
            return self._babbled(child)
        except (EOFError, OSError):
            # A message that is announced as longer than any of ours is not readable either, and ends the pipe.
            return self._died(child) if child.pipe.readable else self._babbled(child)
        if said.report is not None:
            self._attempts.reports.append(said.report)
        if said.outcome is None:
            return None
        child.spent = said.spent
        return Attempts.judged(self._context, said.outcome)

    def _pass_on_cancel(self, child: _Child) -> None:
        grace = 0.0 if self._context.at_once else self._grace
        self._kill_at = min(self._kill_at, time.monotonic() + grace)
        child.send("cancel", self._job.id, self._job.attempt, self._context.cancel_reason)

    def _killed(self, child: _Child) -> Outcome:
        child.kill()
        if self._context.cancel_requested:
            reason = self._context.cancel_reason or "cancelled"
            return Cancel(f"{reason} (killed: it did not stop within {self._grace:g} s)")
        return failed(JobTimeout, f"{self._context.too_late} and was killed")

    def _babbled(self, child: _Child) -> Outcome:
        child.kill()
        return failed(
            ProcessDied,
            "its handler wrote into the pipe that belongs to its worker; the process was killed",
        )

    def _died(self, child: _Child) -> Outcome:
        child.kill()
        child.kill_group()  # what it had started has lost its parent, and the job begins anew
        code = child.exit_code()
        limit = self._kind.memory_mb
        hint = "" if limit is None else f"; its memory was limited to {limit} MB"
        return failed(ProcessDied, f"{_said(code)}{hint}")


def _said(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the process of the attempt ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the process of the attempt was ended by {name}"
