"""What a handler may leave in its process for the next one to find; a child that is not as it was is not used again.

Folder, environment, signals (handlers, mask, an alarm that is still to come), file mode mask, programs that run on.
What lives inside the interpreter (module globals, threads) is the handler's own affair, as in a thread of the worker.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

__all__ = ["Footprint"]

_STATUS = ("Umask", "SigBlk", "SigIgn", "SigCgt")


class Footprint:
    """How the process is when this is made; to be asked later in the same thread."""

    def __init__(self) -> None:
        self._then = _look()

    def has_changed(self) -> bool:
        return _look() != self._then


def _look() -> tuple[Any, ...]:
    return (
        _folder(),
        dict(os.environ),
        _status(),
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        _has_children(),
    )


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted
        return ""


def _status() -> list[str]:
    """As the kernel tells it; nothing where it does not."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return [line for line in lines if line.startswith(_STATUS)]
    return []


def _has_children() -> bool:
    """Programs that run, or have ended and were not waited for. Reaps none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
