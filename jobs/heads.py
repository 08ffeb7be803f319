"""Reads the heads of the lanes, of which the worker's cache is made: from their beginnings, or from where they began.

The rows of started jobs stay where they were, at the beginning of their lane, until vacuum comes, and a look steps over
all of them. So a look that no bell has caused starts at the first row that the last one found, if that one found many,
and counts if it finds many itself. What came in before (an urgent job, a retry, a kind of which none waited) rang a
bell, or is found by the poll.

While a transaction holds the xmin horizon nothing is vacuumed: 190,000 such rows took 67 ms. So where looks have become
slow, most of them start there, bell or no bell. What came in before is found by the next look from the beginning.
These take a twentieth of the time, and come every 5 s at least; where one takes seconds, a quarter of the time, also
where the database gives it up. So is one that came into a lane which stood empty while jobs came into 1,000 others: it
is forgotten by then.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

import psycopg

from jobs.division import WHOLE, Part
from jobs.store.statements import Cursor, rows

__all__ = ["Heads"]

SLOW = 0.01
SHARE = 0.05
AT_MOST = 5.0
PAUSE = 3.0
"""Times as long as a look from the beginning took, the others go on without one."""
NEVER = float("-inf")
# The fastest of the last few decides: a single one may have waited for the processor.
LOOKS = 5
EMPTY_AT_MOST = 1_000
"""Lanes without jobs that are remembered. Whoever submits may name new queues without end."""

CLOSE_US = 1_000_000
"""Of rank. A job that is left to another worker may wait as long for its start while this one starts a later one."""
Lane = tuple[str, str, list[int], list[int], tuple[int, int] | None]
"""Queue, kind, ids and ranks of its best, in order; rank and id up to which it is known, None where all of it is."""


class Heads:
    """The lanes of a worker, without those of queues with limits."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str]) -> None:
        self._params: dict[str, Any] = {"names": list(queues), "kinds": list(kinds)}
        self.firsts: set[int] = set()
        """The first job of each lane in the last look, whosever part it is in."""
        self.more = False
        """The last look met its limit among jobs that are close to the first."""
        # Rank and id. The lanes that were seen last stand last.
        self._begin: dict[tuple[str, str], tuple[int, int]] = {}
        # The lanes of the last look, if one of them met its limit.
        self._many: list[tuple[str, str]] = []
        self._took: deque[float] = deque(maxlen=LOOKS)
        self._short: deque[float] = deque(maxlen=LOOKS)
        self._again_at = self._owed_at = NEVER

    def read(self, cursor: Cursor, limit: int, part: Part = WHOLE, *, onward: bool = False) -> list[Lane]:
        """Up to `limit` of each lane in which something waits, `part` of it.

        `onward`: nothing says that something came in before what was found last, which is enough if it is many.
        A deep part is read from where the look just before began.
        """
        wanted = {"limit": limit * part.times, "parts": part.parts, "place": part.place}
        found: list[tuple[Any, ...]] = []
        if part.deep or (onward and self._many and self._owed_at == NEVER and not self.slow):
            found = self._from_where_they_began(cursor, wanted, self._many)
        if not part.deep and not _met(found, wanted):
            found = self._with_what_came_in_before(cursor, wanted)
        self._many = [(queue, kind) for queue, kind, *_ in found] if _met(found, wanted) else []
        self.firsts = {first for *_, first, _ in found}
        self.more = any(
            seen >= wanted["limit"] and (ranks or [head])[-1] <= head + CLOSE_US
            for _, _, _, ranks, head, _, seen in found
        )
        return [
            (queue, kind, ids or [], ranks or [], _end(ids, ranks, head, part, cut=seen >= wanted["limit"]))
            for queue, kind, ids, ranks, head, _, seen in found
        ]

    @property
    def slow(self) -> bool:
        """Have the last looks from the beginning become slow, and are the others faster?

        Where the database is far away each look takes long, and to pass something over would gain nothing.
        """
        limit = max(SLOW, 2 * min(self._short, default=0.0))
        return len(self._took) == LOOKS and min(self._took) > limit

    def owed_in(self) -> float | None:
        """Seconds until what the last look may have passed over can be looked for; None when it passed over nothing."""
        return None if self._owed_at == NEVER else max(0.0, self._owed_at - time.monotonic())

    def _with_what_came_in_before(self, cursor: Cursor, wanted: dict[str, int]) -> list[tuple[Any, ...]]:
        """From the beginning; where that is slow, it is owed for a while."""
        if time.monotonic() >= self._again_at:
            self._owed_at = NEVER
            return self._from_the_beginning(cursor, wanted)
        self._owed_at = self._again_at
        found = self._from_where_they_began(cursor, wanted, list(self._begin))
        if not self.slow:
            self._again_at, self._owed_at = NEVER, time.monotonic()
        return found

    def _from_the_beginning(self, cursor: Cursor, wanted: dict[str, int]) -> list[tuple[Any, ...]]:
        began = time.monotonic()
        try:
            found = rows(cursor, "ready_heads", self._params | wanted)
        except psycopg.errors.QueryCanceled:
            # It counts, or the next one would end the same way, and nothing would ever start.
            self._ended(began)
            raise
        self._ended(began)
        self._remember(found)
        empty = len(self._begin) - len(found)
        for lane in list(islice(self._begin, max(0, empty - EMPTY_AT_MOST))):
            del self._begin[lane]
        return found

    def _ended(self, began: float) -> None:
        """A look from the beginning is over. The next one comes the later, the longer it took."""
        now = time.monotonic()
        self._took.append(now - began)
        if self.slow:
            self._again_at = now + max(min(AT_MOST, min(self._took) / SHARE), PAUSE * (now - began))

    def _from_where_they_began(
        self, cursor: Cursor, wanted: dict[str, int], lanes: Sequence[tuple[str, str]]
    ) -> list[tuple[Any, ...]]:
        begins = [self._begin[lane] for lane in lanes]
        params = {
            "queues": [queue for queue, _ in lanes],
            "kinds": [kind for _, kind in lanes],
            "ranks": [rank for rank, _ in begins],
            "firsts": [first for _, first in begins],
        }
        began = time.monotonic()
        found = rows(cursor, "ready_heads_from", params | wanted)
        self._short.append(time.monotonic() - began)
        self._remember(found)
        return found

    def _remember(self, found: Sequence[tuple[Any, ...]]) -> None:
        for queue, kind, _, _, head, first, _ in found:
            self._begin.pop((queue, kind), None)
            self._begin[queue, kind] = (head, first)


def _met(found: Sequence[tuple[Any, ...]], wanted: dict[str, int]) -> bool:
    """Is there a lane in which as many wait as one look takes?"""
    return any(seen >= wanted["limit"] for *_, seen in found)


def _end(
    ids: list[int] | None, ranks: list[int] | None, head: int, part: Part, *, cut: bool
) -> tuple[int, int] | None:
    """Up to where a lane is known. Of a part only what is close to the first of the whole lane."""
    read = (ranks[-1], ids[-1]) if ids and ranks else (head, 0)
    if part is WHOLE:
        return read if cut else None
    close = (head + CLOSE_US + 1, 0)  # all of that rank; ids begin at 1
    return min(read, close) if cut else close
