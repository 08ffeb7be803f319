"""Advisory locks on files (flock): the kernel gives them up when their holder dies, however it dies.

A lock is given up by closing its file, never by LOCK_UN: after a fork two processes share one lock, and LOCK_UN in one
of them would take it from the other.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

__all__ = ["Lock"]

_PAUSE = 0.02


class Lock:
    """One lock, held from creation until `close()` or the death of the process and the children it forked."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    @classmethod
    def attempt(cls, path: Path, *, shared: bool, create: bool = True) -> Lock | None:
        """Take the lock now, or return None. The file is made when it is missing; it is never deleted."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    @classmethod
    def wait(cls, path: Path, *, shared: bool, timeout: float) -> Lock | None:
        """Take the lock within `timeout` seconds, or return None."""
        deadline = time.monotonic() + timeout
        while True:
            lock = cls.attempt(path, shared=shared)
            if lock is not None or time.monotonic() >= deadline:
                return lock
            time.sleep(_PAUSE)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
