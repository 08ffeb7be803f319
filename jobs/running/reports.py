"""Log lines and progress that nobody has written yet: bounded, as handlers go on talking while the database is away.

Of the lines the oldest go first, as in the database, and each one that goes is counted for its job. Of progress the
latest word of a job is all there is to keep, so a flood of lines, its own or another job's, cannot wash it away.
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
    """At most `most` lines, in order, and the latest word of each job. May be used from any thread."""

    def __init__(self, most: int = REPORTS_AT_MOST) -> None:
        self._most = most
        self._lines: deque[Report] = deque()
        self._words: dict[int, Report] = {}
        self._dropped: Counter[int] = Counter()
        self._turn = threading.Lock()

    def append(self, report: Report) -> None:
        with self._turn:
            if is_line(report):
                self._lines.append(report)
                self._shorten()
            else:
                self._note(report)

    def take(self) -> list[Report]:
        """Everything since the last call: the lines, then the words."""
        with self._turn:
            lines, self._lines = self._lines, deque()
            words, self._words = self._words, {}
        return [*lines, *words.values()]

    def take_dropped(self) -> Counter[int]:
        """Lines dropped since the last call, by job."""
        with self._turn:
            dropped, self._dropped = self._dropped, Counter()
        return dropped

    def put_back(self, reports: Sequence[Report], dropped: Counter[int]) -> None:
        """They could not be written: they come before what was said since."""
        with self._turn:
            self._lines.extendleft(report for report in reversed(reports) if is_line(report))
            newer, self._words = self._words, {}
            for word in (*(report for report in reports if not is_line(report)), *newer.values()):
                self._note(word)
            self._dropped.update(dropped)
            self._shorten()

    def _note(self, word: Report) -> None:
        known = self._words.get(word[0])
        # An attempt that goes on beside a later one of its job has no say about it.
        if known is None or known[1] <= word[1]:
            self._words[word[0]] = word

    def _shorten(self) -> None:
        while len(self._lines) > self._most:
            self._dropped[self._lines.popleft()[0]] += 1
