"""How much memory a handler in a child process may take.

The limit counts the process's own writable memory beyond what it has when the attempt begins (`RLIMIT_DATA`): an
allocation above it fails, and the interpreter raises MemoryError. Memory shared with others, and that of programs the
handler starts, does not count. Effective on Linux.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

__all__ = ["data_bytes", "limited", "volunteer"]

MEGABYTE = 1024 * 1024


def data_bytes() -> int:
    """The writable memory of this process as `RLIMIT_DATA` counts it; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@contextlib.contextmanager
def limited(megabytes: int | None) -> Iterator[None]:
    """Inside, at most so much more memory. The limit is off again before an error is looked at, which needs memory."""
    if megabytes is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = data_bytes() + megabytes * MEGABYTE
    resource.setrlimit(
        resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def volunteer() -> None:
    """If the whole machine runs out of memory, the kernel shall end this process and not the worker or the database."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
