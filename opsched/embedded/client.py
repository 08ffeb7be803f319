"""A process's own side of the embedded database: hold the users' lock, and have a guardian that runs the server.

`ensure()` is called before every new connection, so its usual round is three system calls. It never waits for
anything but a start or a stop that is under way.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.layout import Layout
from opsched.embedded.locks import Lock

__all__ = ["ensure", "release"]

_START_SECONDS = 330.0
_PAUSE = 0.02
_held: dict[Path, Lock] = {}
_mutex = threading.RLock()


def ensure(layout: Layout, *, temporary: bool = False) -> None:
    """Be a user of this database, and have it running. Raises DatabaseUnavailable with one sentence.

    temporary: the folder is deleted when the last user is gone.
    """
    with _mutex:
        try:
            _become_user(layout)
            while not _guarded(layout):
                _start(layout, temporary=temporary)
        except OSError as error:
            raise DatabaseUnavailable(
                f"The data folder {layout.root} cannot be used ({error.strerror}): make it writable for this user, "
                "free some space, or set OPSCHED_DATA to another folder."
            ) from error


def release(layout: Layout, *, wait: float = 0.0) -> None:
    """Stop being a user. With `wait`, return when the server has ended or that many seconds are over."""
    with _mutex:
        lock = _held.pop(layout.root, None)
        if lock is not None:
            lock.close()
    if wait:
        _wait_for_the_end(layout, wait)


def _wait_for_the_end(layout: Layout, seconds: float) -> None:
    # Looks without making the file: a temporary folder is being deleted under us.
    deadline = time.monotonic() + seconds
    while layout.guard.exists() and time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            gone = Lock.attempt(layout.guard, shared=True, create=False)
            if gone is not None:
                gone.close()
                return
        time.sleep(_PAUSE)


def _become_user(layout: Layout) -> None:
    if layout.root in _held:
        return
    if sys.platform == "win32":
        raise DatabaseUnavailable("The embedded database does not run on Windows: set DATABASE_URL.")
    layout.root.mkdir(parents=True, exist_ok=True)
    # Not at once when a guardian is stopping the server: it ends first, then we begin anew.
    lock = Lock.wait(layout.users, shared=True, timeout=30.0)
    if lock is None:
        raise DatabaseUnavailable(f"The database in {layout.root} does not stop: end its postgres processes.")
    _held[layout.root] = lock


def _guarded(layout: Layout) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while _taken(layout.guard):
        if layout.socket.exists():
            return True
        # The server is starting (its starter holds the start lock until it is ready), starting again, or has ended
        # and its guardian is about to: the kernel gives up the locks of a process in no order one can rely on, so
        # the users' lock may be ours while it still has its own.
        turn = Lock.wait(layout.start, shared=False, timeout=deadline - time.monotonic())
        if turn is None:
            raise _too_long(layout)
        turn.close()
        if time.monotonic() > deadline:
            raise _too_long(layout)
        time.sleep(_PAUSE)
    return False


def _taken(guard: Path) -> bool:
    probe = Lock.attempt(guard, shared=True)
    if probe is None:
        return True
    probe.close()
    return False


def _too_long(layout: Layout) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The database in {layout.root} has been starting for minutes: see {layout.log}."
    )


def _start(layout: Layout, *, temporary: bool) -> None:
    turn = Lock.wait(layout.start, shared=False, timeout=_START_SECONDS)
    if turn is None:
        raise _too_long(layout)
    with turn:
        if not _taken(layout.guard):  # else somebody was first
            _spawn_guardian(layout, temporary=temporary)


def _spawn_guardian(layout: Layout, *, temporary: bool) -> None:
    project = Path(__file__).resolve().parents[2]
    with layout.open_log() as log:
        answer = subprocess.run(
            [
                sys.executable,
                "-m",
                "opsched.embedded.guardian",
                str(layout.root),
                *["--temporary"] * temporary,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=project,
            start_new_session=True,  # Ctrl-C in the terminal is for the users; the guardian follows them
            check=False,
        )
    said = answer.stdout.decode("utf-8", "replace").strip()
    if said != "ready":
        raise DatabaseUnavailable(said or f"The embedded database does not start: see {layout.log}.")


def _fresh_mutex() -> None:
    global _mutex  # noqa: PLW0603  (a forked child may inherit it locked by a thread that does not exist there)
    _mutex = threading.RLock()


os.register_at_fork(after_in_child=_fresh_mutex)
