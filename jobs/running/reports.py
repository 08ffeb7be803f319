"""Log lines and progress that nobody has written yet: bounded, as handlers go on talking while the database is away.

The oldest go first, as in the database, and each line that goes is counted for its job.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

from jobs.context import Report

__all__ = ["REPORTS_AT_MOST", "Reports", "is_line"]

REPORTS_AT_MOST = 10_000


def is_line(report: Report) -> bool:
    return len(report) == 5


class Reports:
    """At most `most` reports, in order. May be used from any thread."""

    def __init__(self, most: int = REPORTS_AT_MOST) -> None:
        self._most = most
        self._kept: deque[Report] = deque()
        self._dropped: Counter[int] = Counter()
        self._turn = threading.Lock()

    def append(self, report: Report) -> None:
        with self._turn:
            self._kept.append(report)
            self._shorten()

    def take(self) -> list[Report]:
        """Everything since the last call."""
        with self._turn:
            taken, self._kept = self._kept, deque()
        return list(taken)

    def take_dropped(self) -> Counter[int]:
        """Lines dropped since the last call, by job."""
        with self._turn:
            dropped, self._dropped = self._dropped, Counter()
        return dropped

    def put_back(self, reports: Sequence[Report], dropped: Counter[int]) -> None:
        """They could not be written: they come before what was said since."""
        with self._turn:
            self._kept.extendleft(reversed(reports))
            self._dropped.update(dropped)
            self._shorten()

    def _shorten(self) -> None:
        while len(self._kept) > self._most:
            oldest = self._kept.popleft()
            if is_line(oldest):
                self._dropped[oldest[0]] += 1
