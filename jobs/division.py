"""Which of the best candidates a worker leaves to the others while several drain one backlog.

Each of them reads the same heads. Without this the second finds what it asks for taken, and as many jobs are missed as
are claimed. So while claims are seen to miss, each asks for its own blocks of ids first. That is a wish, decided anew
for each claim and dropped when nothing was missed for a second: what the others leave lying is found by the next look,
and whoever finds nothing of its own takes the rest. Blocks, because rows of neighbouring ids share a page.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from jobs.store.statements import Cursor, rows

__all__ = ["BLOCK", "Division"]

LASTS = 1.0
"""Seconds since the last misses; also between two looks at who is there."""
CLAIM_AT_LEAST = 64
"""Jobs that are claimed in smaller batches are long enough for their order to matter more than a miss."""
PARTS_AT_MOST = 4  # a full look is divided by as many: of more, each part would be less than a claim
BLOCK = 64


class Division:
    """One worker's view of who else drains; `queues` (none: all) and `kinds` as it serves them."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str]) -> None:
        self._params: dict[str, Any] = {"queues": list(queues), "kinds": list(kinds)}
        self._until = self._read_at = float("-inf")
        self._workers: list[int] = []

    def note(self, *, missed: int, got: int) -> None:
        """How a claim went."""
        if 4 * missed > got and missed + got >= CLAIM_AT_LEAST:
            self._until = time.monotonic() + LASTS

    def look(self, cursor: Cursor) -> None:
        """See who else drains, where that is of use and was not seen just now."""
        now = time.monotonic()
        if self._read_at + LASTS < now < self._until:
            self._read_at = now
            self._workers = [row[0] for row in rows(cursor, "rivals", self._params)]

    def parts(self, worker_id: int, room: int) -> int:
        """Among how many workers the best are divided; 1: not at all."""
        divided = time.monotonic() < self._until and room >= CLAIM_AT_LEAST and worker_id in self._workers
        return min(PARTS_AT_MOST, len(self._workers)) if divided else 1

    def mine(
        self, worker_id: int, candidates: Sequence[int], room: int, *, more: bool
    ) -> tuple[list[int], list[int]]:
        """(the best `room` for this worker, those it leaves to the others). `more`: there are others behind these.

        Own ones before all; where they are all that is left, or none of them is its own, it takes what there is.
        """
        parts = self.parts(worker_id, room)
        place = self._workers.index(worker_id) % parts
        own = [job for job in candidates if job // BLOCK % parts == place]
        if len(own) < room and not (own and more):
            chosen = set(own)
            others = [job for job in candidates if job not in chosen]
            return [*own, *others[: room - len(own)]], []
        own = own[:room]
        chosen = set(own)
        return own, [job for job in candidates[: candidates.index(own[-1])] if job not in chosen]
