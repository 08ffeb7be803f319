"""Rates from the counters that workers write with their heartbeats. Pure: the caller brings rows and the time.

A counter only says how much since the worker's start, so a rate needs two looks at it: the meter keeps those of the
last ten seconds, and of the sums one a second for the chart. No second look, no rate: it says None, never a guess.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Meter", "Rate", "Rates"]

WINDOW = 10.0
"""Seconds that a rate is averaged over."""
SILENT = 5.0
"""A worker whose heartbeat is older has no rate any more."""
HISTORY = 300
"""Points of the chart, about one a second."""

_ENDS = {"completed": "completed", "retryable": "failed", "dead": "failed"}
"""Which counters make up which rate: a failed attempt is followed by another, or by none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Jobs per second."""

    completed: float = 0.0
    failed: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(completed=self.completed + other.completed, failed=self.failed + other.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one look gives. Workers that are missing have no rate yet."""

    total: Rate | None
    workers: dict[int, Rate]
    queues: dict[str, Rate] | None
    """None: no worker counts by queue. Queues that are missing had no job end."""


@dataclass(slots=True)
class _Watched:
    """The looks at one worker, oldest first: (its heartbeat's time, its counters)."""

    looks: deque[tuple[datetime, Mapping[str, int]]] = field(default_factory=deque)

    def look(self, at: datetime, counters: Mapping[str, int]) -> None:
        if self.looks and at <= self.looks[-1][0]:
            return
        self.looks.append((at, dict(counters)))
        while len(self.looks) > 2 and (at - self.looks[1][0]).total_seconds() >= WINDOW:
            self.looks.popleft()

    def gains(self) -> tuple[float, dict[str, int]]:
        """Seconds between the first and the last look, and what was counted in them."""
        (begin, before), (end, after) = self.looks[0], self.looks[-1]
        gained = {name: count - before.get(name, 0) for name, count in after.items()}
        return (end - begin).total_seconds(), {name: count for name, count in gained.items() if count > 0}


class Meter:
    """`look()` about once a second; several callers must take turns."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self.history: deque[tuple[float, float, float]] = deque(maxlen=HISTORY)
        """(unix seconds, completed per second, failed per second)."""

    def look(self, now: datetime, workers: Iterable[tuple[int, datetime, Mapping[str, Any]]]) -> Rates:
        """Take in (id, heartbeat, counters) of every living worker."""
        living = list(workers)
        self._watched = {key: self._watched.get(key, _Watched()) for key, _, _ in living}
        rates: dict[int, Rate] = {}
        queues: dict[str, Rate] | None = None
        for key, heartbeat, counters in living:
            watched = self._watched[key]
            watched.look(heartbeat, {name: n for name, n in counters.items() if isinstance(n, int)})
            if len(watched.looks) > 1 and (now - heartbeat).total_seconds() < SILENT:
                seconds, gained = watched.gains()
                rates[key] = _rate(gained, seconds)
                queues = _with_queues(queues, counters, gained, seconds)
        total = sum(rates.values(), Rate()) if rates or not living else None
        self._remember(now, total)
        return Rates(total=total, workers=rates, queues=queues)

    def _remember(self, now: datetime, total: Rate | None) -> None:
        if total is None:
            return
        second = now.timestamp()
        if not self.history or second - self.history[-1][0] >= 0.5:
            self.history.append((second, total.completed, total.failed))


def _rate(gained: Mapping[str, int], seconds: float) -> Rate:
    sums = {"completed": 0, "failed": 0}
    for name, count in gained.items():
        if name in _ENDS:
            sums[_ENDS[name]] += count
    return Rate(completed=sums["completed"] / seconds, failed=sums["failed"] / seconds)


def _with_queues(
    queues: dict[str, Rate] | None, counters: Mapping[str, Any], gained: Mapping[str, int], seconds: float
) -> dict[str, Rate] | None:
    """Counters named `completed:mail` are those of the queue "mail"."""
    found = dict(queues or {})
    for name, count in gained.items():
        word, colon, queue = name.partition(":")
        if colon:
            found[queue] = found.get(queue, Rate()) + _rate({word: count}, seconds)
    return found if queues is not None or any(":" in name for name in counters) else None
