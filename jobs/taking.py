"""What a round claims: the best candidates in order, or simply everything where that is little.

Called by the recorder inside its transaction, so that what was promoted there is a candidate at once. Chooses, and
remembers what it asked for; the database decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.store.claiming import claim, claim_ready
from jobs.store.statements import Cursor
from jobs.store.values import Claimed, Moved
from jobs.window import Window

__all__ = ["Best", "Everything"]


class Best:
    """The best of the window, up to `room`."""

    def __init__(self, window: Window, room: int) -> None:
        self._window = window
        self.room = room
        self.candidates: list[int] = []
        self.busy: Sequence[str] = ()
        self.must_look = False
        """What was promoted has places that only a look can tell."""

    def __call__(self, cursor: Cursor, worker_id: int, moved: Sequence[Moved]) -> Claimed:
        self.must_look = not self._window.promoted(moved)
        self.candidates = self._window.candidates(self.room)
        if not self.candidates:
            return Claimed(claim_id=None, jobs=[])
        claimed = claim(
            cursor,
            worker_id=worker_id,
            candidates=self.candidates,
            limit=self.room,
            limited=self._window.limited(self.candidates),
            in_order=self._window.shared,
        )
        self.busy = claimed.busy
        return claimed


class Everything:
    """Whatever is ready, unseen, where that is no more than `limit`: else None, and nothing was taken."""

    def __init__(self, window: Window, limit: int) -> None:
        self._window = window
        self._limit = limit

    def __call__(self, cursor: Cursor, worker_id: int, _: Sequence[Moved]) -> Claimed | None:
        window = self._window
        return claim_ready(
            cursor, worker_id=worker_id, names=window.names, kinds=window.kinds, limit=self._limit
        )
