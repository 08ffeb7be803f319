"""How many jobs to hold beyond the free threads: what they will finish within `PREFETCH_SECONDS`, and no more.

Short jobs need a batch in hand, or each would wait for a round trip; long ones must not be held back from other
workers. The average run time decides, and forgets quickly.
"""

from __future__ import annotations

__all__ = ["Prefetch"]

SLOWEST = 1.0
FASTEST = 1e-6


class Prefetch:
    """`seconds` of work ahead for `concurrency` threads, at most `limit` jobs in all."""

    def __init__(self, *, concurrency: int, seconds: float, limit: int) -> None:
        self._concurrency = concurrency
        self._seconds = seconds
        self._limit = limit
        # So slow that nothing is claimed ahead, however many threads: as long as nothing is known, and after too much.
        self._slowest = max(SLOWEST, 2 * concurrency * seconds)
        self.average = self._slowest
        self._busy_before = 0.0

    def observe(self, *, ended: int, busy_seconds: float) -> None:
        """`ended` jobs since the last call; `busy_seconds`: time inside handlers since the start, all threads."""
        if ended:
            latest = max(FASTEST, (busy_seconds - self._busy_before) / ended)
            if latest < self.average:
                # By ratio, or it would take a dozen rounds; by how many ended, since the short ones end first and
                # what still runs says nothing: a job for each thread is needed before one batch counts in full.
                weight = min(0.5, ended / (2 * self._concurrency))
                self.average *= (latest / self.average) ** weight
            else:
                self.average = 0.5 * self.average + 0.5 * latest
            self._busy_before = busy_seconds

    def too_far(self) -> None:
        """Jobs claimed ahead did not begin in time: claim ahead again only when some have ended quickly."""
        self.average = max(self.average, self._slowest)

    def capacity(self) -> int:
        """How many jobs to hold at once, running and waiting."""
        ahead = int(self._concurrency * self._seconds / self.average)
        return min(self._concurrency + ahead, max(self._concurrency, self._limit))
