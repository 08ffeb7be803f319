"""Run one program in a process group of its own and leave nothing of it behind.

Used by `command.run`. Promises: no shell; both pipes are read while the program is fed, so that no size of
output can lock it up; at the deadline, on cancellation and after the program's own end the WHOLE group is
ended (TERM, then KILL), and the program is reaped. A child in a session of its own is ended with it when we
end it; one that has become a daemon by then (its parent gone) is out of reach.
"""

from __future__ import annotations

import atexit
import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

import psutil

__all__ = ["Ended", "Program", "end_all", "run"]

_TICK = 0.1  # seconds between looks at the deadline, at cancellation and at the program itself
_AFTERMATH = (
    2.0  # seconds for pipes to run dry after the group was killed: a daemon may hold them open for ever
)
_READ = 64 * 1024
_PATIENCE = 1.0  # seconds for a start that is under way when all are to end: the disk may hang
_live: set[int] = set()  # groups that run now; single operations on a set need no lock
# Held while a program is started: it is among those that live before all are ended, or is not started any more.
_starting = threading.Lock()
_over = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start. `argv[0]` is an absolute path: nothing is searched for."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended. `code` is negative for a signal; `timed_out` and `stopped` say that we ended it."""

    code: int
    timed_out: bool = False
    stopped: bool = False


def run(
    program: Program,
    *,
    deadline: float,
    grace: float,
    stop: Callable[[], bool],
    stdout: Callable[[bytes], None],
    stderr: Callable[[bytes], None],
) -> Ended:
    """Run to the end, to `deadline` (monotonic) or until `stop()`; from TERM to KILL pass `grace` seconds.

    Raises OSError when the program cannot be started, as after `end_all`. What a callback raises ends the group first.
    """
    child = _start(program)
    pipes = _Pipes(child, program.stdin, stdout, stderr)
    try:
        timed_out, stopped = _watch(child, pipes, deadline=deadline, grace=grace, stop=stop)
    finally:
        # Also on the way of an exception. The program is reaped last: until then its number cannot be given to
        # another group, so that the signal cannot hit strangers.
        _signal_group(child.pid, signal.SIGKILL)
        pipes.close()
        _live.discard(child.pid)
        code = child.wait()
    return Ended(code=code, timed_out=timed_out, stopped=stopped)


def _start(program: Program) -> subprocess.Popen[bytes]:
    with _starting:
        if _over.is_set():
            raise OSError(errno.ECANCELED, "This process is about to end.")
        child = subprocess.Popen(
            list(program.argv),
            stdin=subprocess.PIPE if program.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(program.env),
            cwd=program.cwd,
            start_new_session=True,
        )
        _live.add(child.pid)
    return child


@atexit.register
def end_all() -> None:
    """End what still runs, and start nothing more in this process. A worker that stops at once leaves its threads
    behind, and would leave programs running whose jobs another worker starts again."""
    _over.set()
    if _starting.acquire(timeout=_PATIENCE):
        _starting.release()
    for group in tuple(_live):
        _signal_group(group, signal.SIGKILL)


def _watch(
    child: subprocess.Popen[bytes], pipes: _Pipes, *, deadline: float, grace: float, stop: Callable[[], bool]
) -> tuple[bool, bool]:
    """Until the program ended, by itself or because we ended it: (timed out, stopped)."""
    timed_out = stopped = False
    strays: list[psutil.Process] = []
    kill_at: float | None = None
    while not _has_ended(child):
        pipes.pump(_TICK)
        now = time.monotonic()
        if kill_at is None:
            timed_out = now >= deadline
            stopped = not timed_out and stop()
            if stopped or timed_out:
                strays = _descendants(child.pid)
                _signal_group(child.pid, signal.SIGTERM)
                kill_at = now + grace
        elif now >= kill_at:
            _signal_group(child.pid, signal.SIGKILL)
    # It may have left children behind: a forked pipeline, or one that ignores TERM.
    _signal_group(child.pid, signal.SIGKILL)
    _kill(strays)
    pipes.drain(time.monotonic() + _AFTERMATH)
    return timed_out, stopped


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """True once the program itself ended; it stays unreaped where the system can (not macOS before 3.13)."""
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    if child.returncode is not None:
        return True
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True  # somebody else in this process reaped it: there is nothing left to wait for


def _signal_group(group: int, number: int) -> None:
    # macOS answers EPERM for a group of which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _descendants(pid: int) -> list[psutil.Process]:
    """The whole family at this moment: a child in a session of its own (`setsid`) is in no group we can signal."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # gone already; psutil does not signal a stranger with the same number
            process.kill()


@dataclass(slots=True)
class _Pipes:
    """The three pipes of a program, none of them ever waited for alone."""

    child: subprocess.Popen[bytes]
    stdin: bytes
    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        self._add(self.child.stdout, selectors.EVENT_READ, self.stdout)
        self._add(self.child.stderr, selectors.EVENT_READ, self.stderr)
        self._add(self.child.stdin, selectors.EVENT_WRITE, None)

    def pump(self, timeout: float) -> bool:
        """Move what can be moved within `timeout` seconds; False when all pipes are closed."""
        if not self._selector.get_map():
            time.sleep(min(timeout, 0.01))  # closed its outputs and still runs: a daemon in the making
            return False
        for key, _events in self._selector.select(timeout):
            if key.data is None:
                self._feed(key.fileobj)  # type: ignore[arg-type]
            else:
                self._read(key.fileobj, key.data)  # type: ignore[arg-type]
        return True

    def drain(self, until: float) -> None:
        self._drop(self.child.stdin)
        while self._selector.get_map() and (left := until - time.monotonic()) > 0:
            self.pump(left)

    def close(self) -> None:
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            self._drop(pipe)
        self._selector.close()

    def _add(self, pipe: IO[bytes] | None, events: int, sink: Callable[[bytes], None] | None) -> None:
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, events, sink)

    def _drop(self, pipe: IO[bytes] | None) -> None:
        if pipe is not None and not pipe.closed:
            with suppress(KeyError):
                self._selector.unregister(pipe)
            with suppress(BrokenPipeError):
                pipe.close()

    def _read(self, pipe: IO[bytes], sink: Callable[[bytes], None]) -> None:
        try:
            data = os.read(pipe.fileno(), _READ)
        except BlockingIOError:
            return
        if data:
            sink(data)
        else:
            self._drop(pipe)

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            sent = os.write(pipe.fileno(), self.stdin[:_READ])
        except BlockingIOError:
            return
        except BrokenPipeError:
            sent = len(self.stdin)  # it does not want the rest: its right
        self.stdin = self.stdin[sent:]
        if not self.stdin:
            self._drop(pipe)
