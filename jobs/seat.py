"""Whose process it was: one of several under a supervisor hears, from the one before it, which worker has died.

The supervisor forks another child only when it has reaped the one before, so that one is dead for certain: nobody has
to watch its beat for a lease, which those who watch might not live to see the end of. What is not told here (a single
process, a supervisor that dies as well, a stop before there is another child) the lease tells.
"""

from __future__ import annotations

import mmap
import os
import struct

__all__ = ["Seat"]

_NUMBERS = struct.Struct("=qq")


class Seat:
    """Id and pid of the worker in it, in memory that a forked child shares with its parent and its successor.

    The pid, because ids may be given out anew: by a database that was restored, or another one.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NUMBERS.size)

    def take(self, worker_id: int) -> None:
        """This process is that worker from now on."""
        _NUMBERS.pack_into(self._memory, 0, worker_id, os.getpid())

    @property
    def taken_by(self) -> tuple[int, int]:
        """Worker id and pid; zeros as long as nobody has taken it."""
        worker_id, pid = _NUMBERS.unpack_from(self._memory)
        return worker_id, pid
