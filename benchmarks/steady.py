"""A load that goes on: a feeder that keeps the queue filled, and what the workers end in a stretch of time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from benchmarks.flow import enqueue_bulk
from benchmarks.ground import query

__all__ = ["fed", "rate"]

FILLED = 30_000
BATCH = 2_000


@contextlib.contextmanager
def fed() -> Iterator[None]:
    """The queue is kept filled while the block runs."""
    stop = threading.Event()
    feeder = threading.Thread(target=_feed, args=[stop], name="bench-feeder", daemon=True)
    feeder.start()
    try:
        yield
    finally:
        stop.set()
        feeder.join(30)


def _feed(stop: threading.Event) -> None:
    from django.db import connections

    submitted, before = 0, ended()
    while not stop.is_set():
        if submitted - (ended() - before) < FILLED:
            enqueue_bulk(BATCH)
            submitted += BATCH
        else:
            stop.wait(0.05)
    connections.close_all()


def ended() -> int:
    """Jobs that all workers have completed, by their heartbeats: a second old at most, and one short row a worker."""
    found = query("SELECT coalesce(sum((stats ->> 'completed')::bigint), 0) FROM jobs_workerprocess")
    return int(found[0][0])


def rate(seconds: float) -> float:
    """Jobs per second over the coming stretch."""
    first, began = ended(), time.monotonic()
    time.sleep(seconds)
    return (ended() - first) / (time.monotonic() - began)
