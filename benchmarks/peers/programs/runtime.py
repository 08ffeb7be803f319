"""What every peer's program has in common: its commands, its counts, and the start all workers wait for.

Runs in the peers' environment: the standard library and uvloop, nothing of ours. A program defines `setup()`,
`bulk(count)`, `one(count, warm)` (so many, after `warm` more that are not timed), `paced(count, gap)` (submit a job
that tells how late it began, each `gap` seconds after the last) and `work()`. The first four print how long it took;
`work` says "ready", waits for "go", and then answers "tell" with what it has run until "stop" or the end of its input.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = [
    "DATABASE",
    "DSN",
    "HOST",
    "REDIS",
    "USER",
    "main",
    "noop",
    "stamp",
    "timed",
    "timed_plainly",
]

HOST = os.environ.get("PEER_HOST", "")
USER = os.environ.get("PEER_USER", "")
DATABASE = os.environ.get("PEER_DATABASE", "")
DSN = f"host={HOST} user={USER} dbname={DATABASE}"
REDIS = os.environ.get("PEER_REDIS", "")

_guard = threading.Lock()
_count = 0
_first = 0.0
_late: list[float] = []


def noop() -> None:
    """A job that does nothing; the program counts it."""
    global _count, _first  # noqa: PLW0603 - one process, one count
    with _guard:
        if not _count:
            _first = time.time()
        _count += 1


def stamp(began: float) -> None:
    """A job that was submitted at `began`."""
    _late.append((time.time() - began) * 1_000)
    noop()


async def timed(submit: Callable[[], Awaitable[Any]], count: int, warm: float) -> float:
    """Seconds of so many submissions, one after the other; before them some that open connections and prepare."""
    for _ in range(int(warm)):
        await submit()
    began = time.perf_counter()
    for _ in range(count):
        await submit()
    return time.perf_counter() - began


def timed_plainly(submit: Callable[[], Any], count: int, warm: float) -> float:
    """The same for a peer that is not asynchronous."""
    for _ in range(int(warm)):
        submit()
    began = time.perf_counter()
    for _ in range(count):
        submit()
    return time.perf_counter() - began


def _answer() -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        with _guard:
            told = {"count": _count, "first": _first, "late": _late}
        print(json.dumps(told), flush=True)
    os._exit(0)


def _run(work: Callable[..., Any], *arguments: Any) -> Any:
    if not inspect.iscoroutinefunction(work):
        return work(*arguments)
    import uvloop  # every asynchronous peer gets the faster loop

    return asyncio.run(work(*arguments), loop_factory=uvloop.new_event_loop)


def main(program: dict[str, Any]) -> None:
    command, numbers = sys.argv[1], [float(word) for word in sys.argv[2:]]
    if command == "work":
        print("ready", flush=True)
        if sys.stdin.readline().strip() != "go":
            return
        threading.Thread(target=_answer, daemon=True).start()
        _run(program["work"])
        return
    arguments = [int(numbers[0]), *numbers[1:]] if numbers else []
    spent = _run(program[command], *arguments)
    print(json.dumps({"seconds": spent}))
