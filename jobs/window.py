"""The worker's cache over persisted jobs: bounded heaps of ready jobs (`lines.py`), a wheel of what waits for time.

It reads the heads of the narrow tables and orders them; it decides nothing. A stale or missing entry costs a round
trip, because a claim is decided by the database and a slow poll finds everything (DESIGN 5.2).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from jobs.core.timing_wheel import TimingWheel
from jobs.lines import Lines
from jobs.schedules import refused
from jobs.store.statements import Cursor, rows

__all__ = ["DatabaseClock", "Window"]

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

    def __init__(
        self, *, queues: Sequence[str], kinds: Sequence[str], horizon: float, strict: bool = False
    ) -> None:
        self._kinds = list(kinds)
        self._horizon = horizon
        self._lines = Lines(queues=queues, kinds=kinds, strict=strict)
        self._far_at = float("-inf")
        self.clock = DatabaseClock()
        self._wheel: TimingWheel[Any] | None = None
        self._fired: set[Any] = set()

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def more_in_database(self) -> bool:
        """True when the last full read met its limit, so that an empty heap does not mean an empty queue."""
        return not self._lines.complete

    def poll(self, cursor: Cursor) -> None:
        """The slow, full look: the clock, the heads of all queues, what is due within the horizon."""
        self.clock.read(cursor)
        self._lines.look_at_queues(cursor)
        self._lines.refill(cursor)
        self.look_ahead(cursor, far=time.monotonic() >= self._far_at)

    def refill(self, cursor: Cursor) -> None:
        """Read the heads of all queues anew."""
        self._lines.refill(cursor)

    def peek(self, cursor: Cursor) -> None:
        """The quick look after a doorbell."""
        self._lines.peek(cursor)

    def owed_in(self) -> float | None:
        """Seconds until a look that passes over nothing can be made; None when the last one was such."""
        return self._lines.owed_in()

    def candidates(self, room: int) -> list[int]:
        """The best ready jobs, in the order to take them, for a claim of `room`."""
        return self._lines.candidates(room)

    @property
    def shared(self) -> bool:
        """Several queues have work: a claim goes by the order of the candidates, which is their shares."""
        return self._lines.shared

    def limited(self, candidates: Sequence[int]) -> dict[int, str]:
        """Those that wait in queues with limits, with the queue."""
        return self._lines.limited(candidates)

    def claimed(
        self, candidates: Sequence[int], taken: Sequence[int], room: int, busy: Sequence[str] = ()
    ) -> int:
        """Forget what a claim took, and what it found gone; returns how many were gone."""
        return self._lines.claimed(candidates, taken, room, busy)

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

    def seconds_until_token(self) -> float:
        """How long until a rate that is used up lets a job start again; infinite without one."""
        return self._lines.seconds_until_token()
