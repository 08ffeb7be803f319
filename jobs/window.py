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
from jobs.store.values import ClaimedJob, Moved

__all__ = ["DatabaseClock", "Window"]

DUE_AT_MOST = 10_000
SOON_AT_MOST = 500
HOUR = 3_590.0  # the wheel has 3,600 slots
FAR_EVERY = 60.0
AGAIN_US = 10_000
AHEAD_US = 100_000
TOGETHER_US = 5_000
BEGINNING = (0, 0)


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
        self.names = list(queues)
        self.kinds = list(kinds)
        self._horizon = horizon
        self._lines = Lines(queues=queues, kinds=kinds, strict=strict)
        self._far_at = float("-inf")
        self.clock = DatabaseClock()
        self._wheel: TimingWheel[Any] | None = None
        self._fired: set[Any] = set()
        self._read_to = BEGINNING  # due time and id up to which the wheel holds all that a look could see
        self._fired_at = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def more_in_database(self) -> bool:
        """True when the last full read met its limit, so that an empty heap does not mean an empty queue."""
        return not self._lines.complete

    @property
    def ran_dry(self) -> bool:
        """Nothing is known any more of a queue in which more waits: another one would go in its place."""
        return self._lines.ran_dry

    def poll(self, cursor: Cursor, worker_id: int = 0) -> None:
        """The slow, full look: the clock, the heads of all queues, what is due within the horizon."""
        self.clock.read(cursor)
        self._lines.look_at_queues(cursor)
        self._lines.refill(cursor, worker_id)
        self.look_ahead(cursor, far=time.monotonic() >= self._far_at)

    @property
    def needs_a_look(self) -> bool:
        """There are limits to keep, or looks have become slow: then nothing is claimed unseen."""
        return self._lines.needs_a_look

    def refill(self, cursor: Cursor, worker_id: int = 0, *, onward: bool = False) -> None:
        """Read the heads of all queues anew; `onward`: no bell rang."""
        self._lines.refill(cursor, worker_id, onward=onward)

    def peek(self, cursor: Cursor) -> None:
        """The quick look after a doorbell."""
        self._lines.peek(cursor)

    @property
    def owes_a_look(self) -> bool:
        """A rate that was used up lets a job start now, or what looks passed over can be looked for."""
        return not self.seconds_until_token() or self.owed_in() == 0.0

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

    def took_everything(self, jobs: Sequence[ClaimedJob]) -> None:
        """All that was ready has been claimed, unseen."""
        self._lines.took_everything(jobs)

    def promoted(self, moved: Sequence[Moved]) -> bool:
        """Jobs this worker has just made ready are candidates. False where only a look can tell their places."""
        for job in moved:
            self._timers.cancel(job.id)  # a look between its time and its promotion has put it back
        return self._lines.add(moved)

    # -- time ----------------------------------------------------------------------------------------------------------

    def look_ahead(self, cursor: Cursor, *, far: bool = False) -> None:
        """Put into the wheel what becomes due within the horizon; once a minute (`far`) within the coming hour.

        What fired just now and still waits is in other hands, and is looked at again in a moment: due as it is, it
        would keep the loop turning for as long as somebody holds its row.
        """
        if far:
            self._far_at = time.monotonic() + FAR_EVERY
        fired, seconds = self._fired, HOUR if far else self._horizon
        until_us = self._look_at_jobs(cursor, seconds, BEGINNING, DUE_AT_MOST if far else SOON_AT_MOST)
        params = {
            "until": until_us / 1_000_000,
            "limit": DUE_AT_MOST,
            "kinds": self.kinds,
            "refused": refused(),
        }
        again_us = self.clock.now_us() + AGAIN_US
        for schedule_id, at_us in rows(cursor, "due_schedules", params):
            timer = ("schedule", schedule_id)
            self._timers.insert(timer, max(at_us, again_us) if timer in fired else at_us)

    def look_for_new(self, cursor: Cursor) -> None:
        """The quick look after a doorbell: jobs that may have come in before those that are known."""
        self._look_at_jobs(cursor, self._horizon, BEGINNING, SOON_AT_MOST)

    def look_onward(self, cursor: Cursor) -> None:
        """Go on where the last look met its limit."""
        self._look_at_jobs(cursor, self._horizon, self._read_to, SOON_AT_MOST)

    def must_look_onward(self) -> bool:
        """The last look met its limit, and the time it saw is nearly over."""
        return self._wheel is not None and self._read_to[0] < self.clock.now_us() + AHEAD_US

    def _look_at_jobs(self, cursor: Cursor, seconds: float, since: tuple[int, int], limit: int) -> int:
        """Up to `limit` timers after `since` (due time and id) into the wheel; returns the end of the look."""
        now_us = self.clock.now_us()
        until_us, again_us = now_us + int(seconds * 1_000_000), now_us + AGAIN_US
        params = {
            "since": since[0] / 1_000_000,
            "after": since[1],
            "until": until_us / 1_000_000,
            "limit": limit,
        }
        found = rows(cursor, "due_head", params)
        insert, fired = self._timers.insert, self._fired
        for job_id, at_us in found:
            insert(job_id, max(at_us, again_us) if job_id in fired else at_us)
        self._read_to = (found[-1][1], found[-1][0]) if len(found) >= limit else (until_us, 0)
        self._fired = set()
        return until_us

    @property
    def _timers(self) -> TimingWheel[Any]:
        """Made with the first look: the wheel begins at the database's time."""
        if self._wheel is None:
            self._wheel = TimingWheel(self.clock.now_us())
        return self._wheel

    def due(self) -> tuple[list[int], bool]:
        """Jobs whose time has come, and whether a schedule's has.

        Those that become due within some milliseconds go together: each time costs the database a commit.
        """
        now_us = self.clock.now_us()
        if self._wheel is None or 0 <= now_us - self._fired_at < TOGETHER_US:
            return [], False
        fired = self._wheel.advance(now_us)
        if not fired:
            return [], False
        self._fired_at = now_us
        self._fired.update(fired)
        jobs = [timer for timer in fired if isinstance(timer, int)]
        return jobs, len(jobs) < len(fired)

    def seconds_until_due(self) -> float | None:
        """How long until the next timer; None without one."""
        next_us = None if self._wheel is None else self._wheel.next_due_us()
        if next_us is None:
            return None
        next_us = max(next_us, self._fired_at + TOGETHER_US)
        return max(0.0, (next_us - self.clock.now_us()) / 1_000_000)

    def seconds_until_token(self) -> float:
        """How long until a rate that is used up lets a job start again; infinite without one."""
        return self._lines.seconds_until_token()
