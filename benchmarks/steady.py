"""A load that goes on: a feeder that keeps the queue filled, and what the workers end in a stretch of time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from benchmarks.flow import enqueue_bulk
from benchmarks.ground import query

__all__ = ["Feeder", "fed", "rate"]

FILLED = 100_000
BATCH = 10_000


class Feeder:
    """Keeps the queue filled, from a thread of its own. `least`: the shortest that the queue has been.

    By the workers' own counters, which are up to a second old: by what they end in that time it may have been shorter.
    """

    def __init__(self) -> None:
        self.least = FILLED
        self._full = threading.Event()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="bench-feeder", daemon=True)

    def start(self) -> None:
        """Returns when the queue has been filled for the first time."""
        self._thread.start()
        if not self._full.wait(60):
            raise AssertionError("the queue was not filled within a minute")
        self.check()

    def check(self) -> None:
        """A load that is none would look like one that nothing can slow down."""
        if not self._thread.is_alive():
            raise AssertionError("the feeder has ended") from self._error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        from django.db import connections

        submitted, before = 0, ended()
        try:
            while not self._stop.is_set():
                waiting = submitted - (ended() - before)
                if self._full.is_set():
                    self.least = min(self.least, waiting)
                if waiting < FILLED:
                    enqueue_bulk(BATCH, batch=BATCH)
                    submitted += BATCH
                else:
                    self._full.set()
                    self._stop.wait(0.05)
        except BaseException as error:
            self._error = error
            self._full.set()
            raise
        finally:
            connections.close_all()


@contextlib.contextmanager
def fed() -> Iterator[Feeder]:
    """The queue is kept filled while the block runs."""
    feeder = Feeder()
    try:
        feeder.start()
        yield feeder
        feeder.check()
    finally:
        feeder.stop()


def ended() -> int:
    """Jobs that all workers have completed, by their heartbeats: a second old at most, and one short row a worker."""
    found = query("SELECT coalesce(sum((stats ->> 'completed')::bigint), 0) FROM jobs_workerprocess")
    return int(found[0][0])


def rate(seconds: float) -> float:
    """Jobs per second over the coming stretch."""
    first, began = ended(), time.monotonic()
    time.sleep(seconds)
    done = ended() - first
    if not done:
        raise AssertionError(f"nothing ended within {seconds:g} s")
    return done / (time.monotonic() - began)
