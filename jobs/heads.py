"""Reads the heads of the lanes, of which the worker's cache is made: from their beginnings, or from where they began.

While a transaction holds the xmin horizon, the rows of started jobs stay where they were, at the beginning of their
lane, and every look steps over all of them: 190,000 took 67 ms. So where looks have become slow, most of them start at
the first row that the last one found. A job that came in below that (an urgent one, a retry, a kind of which none
waited) is found by the next look from the beginning. These take a twentieth of the time, and come every 5 s at
least.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from jobs.store.statements import Cursor, rows

__all__ = ["Heads"]

SLOW = 0.01
SHARE = 0.05
AT_MOST = 5.0
# The fastest of the last few decides: a single one may have waited for the processor.
LOOKS = 5

Lane = tuple[str, str, list[int], list[int]]
"""Queue, kind, ids and ranks of its best, in order."""


class Heads:
    """The lanes of a worker, without those of queues with limits."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str]) -> None:
        self._params: dict[str, Any] = {"names": list(queues), "kinds": list(kinds)}
        self._begin: dict[tuple[str, str], int] = {}
        self._took: deque[float] = deque(maxlen=LOOKS)
        self._short: deque[float] = deque(maxlen=LOOKS)
        self._again_at = self._owed_at = float("-inf")

    def read(self, cursor: Cursor, limit: int) -> list[Lane]:
        """Up to `limit` of each lane in which something waits."""
        if time.monotonic() < self._again_at:
            self._owed_at = self._again_at
            lanes = self._from_where_they_began(cursor, limit)
            if not self.slow:
                self._again_at, self._owed_at = float("-inf"), time.monotonic()
        else:
            self._owed_at = float("-inf")
            lanes = self._from_the_beginning(cursor, limit)
        self._begin |= {(queue, kind): ranks[0] for queue, kind, _, ranks in lanes}
        return lanes

    @property
    def slow(self) -> bool:
        """Have the last looks from the beginning become slow, and are the others faster?

        Where the database is far away each look takes long, and to pass something over would gain nothing.
        """
        limit = max(SLOW, 2 * min(self._short, default=0.0))
        return len(self._took) == LOOKS and min(self._took) > limit

    def owed_in(self) -> float | None:
        """Seconds until what the last look may have passed over can be looked for; None when it passed over nothing."""
        return None if self._owed_at == float("-inf") else max(0.0, self._owed_at - time.monotonic())

    def _from_the_beginning(self, cursor: Cursor, limit: int) -> list[Lane]:
        began = time.monotonic()
        lanes = rows(cursor, "ready_heads", self._params | {"limit": limit})
        ended = time.monotonic()
        self._took.append(ended - began)
        if self.slow:
            self._again_at = ended + min(AT_MOST, min(self._took) / SHARE)
        return lanes

    def _from_where_they_began(self, cursor: Cursor, limit: int) -> list[Lane]:
        known = list(self._begin)
        params = {
            "queues": [queue for queue, _ in known],
            "kinds": [kind for _, kind in known],
            "begins": [self._begin[lane] for lane in known],
            "limit": limit,
        }
        began = time.monotonic()
        lanes = rows(cursor, "ready_heads_from", params)
        self._short.append(time.monotonic() - began)
        return lanes
