"""A process that ends with the one that started it, also when that is killed and can say nothing any more."""

from __future__ import annotations

import ctypes
import signal
import sys

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone. Linux only; elsewhere nothing.

    A watched pipe does the same, but needs the interpreter, which a handler in an endless loop in C never gives back.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
