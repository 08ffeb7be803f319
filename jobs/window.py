"""The worker's cache over persisted jobs: a bounded heap of ready jobs, a wheel of what waits for time.

It reads the heads of the narrow tables and orders them; it decides nothing. A stale or missing entry costs a round
trip, because a claim is decided by the database and a slow poll finds everything (DESIGN 5.2).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from jobs.core.priority_queue import IndexedPriorityQueue
from jobs.core.timing_wheel import TimingWheel
from jobs.schedules import refused
from jobs.store.statements import Cursor, rows

__all__ = ["DatabaseClock", "Window"]

READY_AT_MOST = 2_000
PEEK = 200
CONTENDED_AT_MOST = 1_000
DUE_AT_MOST = 10_000
HOUR = 3_590.0  # the wheel has 3,600 slots
FAR_EVERY = 60.0
AGAIN_US = 10_000


class DatabaseClock:
    """An estimate of the database's clock that is never ahead of it: its last answer plus the time since."""

    def __init__(self) -> None:
        self._at_us = 0
        self._since = time.monotonic()

    def read(self, cursor: Cursor) -> int:
        self._at_us = rows(cursor, "database_clock", {})[0][0]
        self._since = time.monotonic()
        return self._at_us

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return self._at_us + int((time.monotonic() - self._since) * 1_000_000)


class Window:
    """Ready job ids by rank, and timers by due time. Timers are job ids, or ("schedule", id)."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str], horizon: float) -> None:
        self._names = list(queues)
        self._kinds = list(kinds)
        self._horizon = horizon
        self._ready: IndexedPriorityQueue[int] = IndexedPriorityQueue()
        self._complete = False
        self._contended = 0
        self._far_at = float("-inf")
        self.clock = DatabaseClock()
        self._wheel: TimingWheel[Any] | None = None
        self._fired: set[Any] = set()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def more_in_database(self) -> bool:
        """True when the last full read met its limit, so that an empty heap does not mean an empty queue."""
        return not self._complete

    def poll(self, cursor: Cursor) -> None:
        """The slow, full look: the clock, the heads of all queues, what is due within the horizon."""
        self.clock.read(cursor)
        self.refill(cursor)
        self.look_ahead(cursor, far=time.monotonic() >= self._far_at)

    def refill(self, cursor: Cursor) -> None:
        """Read the heads anew. The heap holds nothing but what they say: entries of paused queues go with it."""
        found = self._heads(cursor, READY_AT_MOST)
        self._complete = len(found) < READY_AT_MOST
        self._ready = IndexedPriorityQueue()
        for job_id, rank in found:
            self._ready.push(job_id, (rank, job_id))

    def peek(self, cursor: Cursor) -> None:
        """The quick look after a doorbell: the best few of each queue, new queues too."""
        for job_id, rank in self._heads(cursor, PEEK):
            key = (rank, job_id)
            if job_id not in self._ready:
                self._ready.push(job_id, key)
            elif self._ready.key_of(job_id) != key:
                self._ready.update(job_id, key)

    def _heads(self, cursor: Cursor, limit: int) -> list[tuple[Any, ...]]:
        return rows(cursor, "ready_heads", {"names": self._names, "kinds": self._kinds, "limit": limit})

    def candidates(self, room: int) -> list[int]:
        """The best ready jobs, in order, for a claim of `room`.

        Where other workers took some of the last ones, it is more than `room`, so that what they hold at this moment
        does not leave this worker empty-handed. The order is kept: nobody takes a job while a better one is free.
        """
        return self._ready.head(room + self._contended) if room else []

    def claimed(self, candidates: Sequence[int], taken: Sequence[int], room: int) -> int:
        """Forget what a claim took, and what it found gone; returns how many were gone.

        A claim goes by rank, so whatever stands before the last one it took is in other hands. After a claim that was
        not filled, everything is.
        """
        mine = set(taken)
        last = len(candidates)
        if len(mine) >= room:
            last = max(index for index, job in enumerate(candidates) if job in mine) + 1
        for job in candidates[:last]:
            self._ready.remove(job)
        missed = last - len(mine)
        self._contended = min(CONTENDED_AT_MOST, 2 * missed) if missed else self._contended // 2
        return missed

    # -- time ----------------------------------------------------------------------------------------------------------

    def look_ahead(self, cursor: Cursor, *, far: bool = False) -> None:
        """Put into the wheel what becomes due within the horizon; once a minute (`far`) within the coming hour.

        What fired just now and still waits is in other hands, and is looked at again in a moment: due as it is, it
        would keep the loop turning for as long as somebody holds its row.
        """
        now_us = self.clock.now_us()
        if self._wheel is None:
            self._wheel = TimingWheel(now_us)
        if far:
            self._far_at = time.monotonic() + FAR_EVERY
        params: dict[str, Any] = {
            "until": now_us / 1_000_000 + (HOUR if far else self._horizon),
            "limit": DUE_AT_MOST,
        }
        soon_us = now_us + AGAIN_US
        for job_id, at_us in rows(cursor, "due_head", params):
            self._wheel.insert(job_id, max(at_us, soon_us) if job_id in self._fired else at_us)
        params |= {"kinds": self._kinds, "refused": refused()}
        for schedule_id, at_us in rows(cursor, "due_schedules", params):
            timer = ("schedule", schedule_id)
            self._wheel.insert(timer, max(at_us, soon_us) if timer in self._fired else at_us)
        self._fired = set()

    def due(self) -> tuple[list[int], bool]:
        """Jobs whose time has come, and whether a schedule's has."""
        if self._wheel is None:
            return [], False
        fired = self._wheel.advance(self.clock.now_us())
        self._fired = set(fired)
        jobs = [timer for timer in fired if isinstance(timer, int)]
        return jobs, len(jobs) < len(fired)

    def seconds_until_due(self) -> float | None:
        """How long until the next timer; None without one."""
        next_us = None if self._wheel is None else self._wheel.next_due_us()
        return None if next_us is None else max(0.0, (next_us - self.clock.now_us()) / 1_000_000)
