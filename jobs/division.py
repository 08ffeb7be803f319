"""Which of the heads a worker reads while several drain one backlog: its own blocks of ids, and not the others'.

Each of them reads the same heads. Without this the second finds what it asks for taken, and as many jobs are missed as
are claimed. So once claims are seen to miss, each looks for its own blocks only, among jobs that are so close in rank
that it may be left to chance which of them goes first. Who finds too few of its own looks once further on. That ends
where too few are found there as well, or where what is in front has been lying there for a second: what the others
leave lying is found by the next look. Blocks, because rows of neighbouring ids share a page.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.store.statements import Cursor, rows

__all__ = ["WHOLE", "Division", "Part"]

LASTS = 1.0
"""Seconds since the last misses, or since what was in front went; between two looks at who is there; after a part that
was too small."""
CLAIM_AT_LEAST = 64
"""Jobs that are claimed in smaller batches are long enough for their order to matter more than a miss."""
PARTS_AT_MOST = 16
TIMES_AT_MOST = 4
"""A look for a part reads as many times what one for the whole does, or there would be too little of its own."""
TIMES_DEEP = 4
"""Who is ahead of the others has taken its own of these, and finds more of them in so many times as much."""
DEEP_AT_LEAST = 256
"""Jobs for which it is worth to look that deep once more."""


@dataclass(frozen=True, slots=True)
class Part:
    """Block `place` of every `parts` blocks of ids (`ready_heads.sql` says how long one is)."""

    place: int
    parts: int
    deep: bool = False

    @property
    def times(self) -> int:
        """How many times what a look for the whole reads is read to find this part of it."""
        return min(self.parts, TIMES_AT_MOST) * (TIMES_DEEP if self.deep else 1)


WHOLE = Part(0, 1)


class Division:
    """One worker's view of who else drains; `queues` (none: all) and `kinds` as it serves them."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str]) -> None:
        self._params: dict[str, Any] = {"queues": list(queues), "kinds": list(kinds)}
        self._until = self._read_at = self._not_before = float("-inf")
        self._workers: list[int] = []
        self._firsts: set[int] = set()

    def note(self, *, missed: int, got: int) -> None:
        """How a claim went."""
        if 4 * missed > got and missed + got >= CLAIM_AT_LEAST:
            self._until = time.monotonic() + LASTS

    @property
    def wanted(self) -> bool:
        """Claims missed just now, and parts are of use as far as is known."""
        return self._not_before <= time.monotonic() < self._until

    def part(self, cursor: Cursor, worker_id: int) -> Part:
        """What to look for now."""
        if not self.wanted:
            return WHOLE
        now = time.monotonic()
        if self._read_at + LASTS < now:
            self._read_at = now
            self._workers = [row[0] for row in rows(cursor, "rivals", self._params)]
        parts = min(PARTS_AT_MOST, len(self._workers))
        if parts < 2 or worker_id not in self._workers:
            self.fail()
            return WHOLE
        return Part(self._workers.index(worker_id) % parts, parts)

    def saw(self, firsts: set[int]) -> None:
        """The first jobs of a divided look. While they go, whoever they belong to does its part."""
        if not firsts & self._firsts:
            self._until = time.monotonic() + LASTS
        self._firsts = firsts

    def fail(self) -> None:
        """There was too little in this worker's part: look at the whole for a while."""
        self._not_before = time.monotonic() + LASTS
