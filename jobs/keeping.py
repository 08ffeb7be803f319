"""The worker's loop for dead letters: runs that go step by step, the counts of groups, and what nobody needs any more.

Once a second. A run is advanced in one transaction by whoever gets its row first, so with many workers it advances
once, and a worker that is killed in the middle leaves it where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from jobs import conf, letter_runs
from jobs.database import in_transaction
from jobs.loop import Loop
from jobs.store import letters
from notifications.doorbell import ring

__all__ = ["LetterKeeper"]

_RUNS = 20
_FORGET_SECONDS = 60.0


class LetterKeeper(Loop):
    """Advances at most `_RUNS` runs a round."""

    def __init__(
        self,
        *,
        on_death: Callable[[str, BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="dead letters", interval=1.0, on_death=on_death)
        self._clock = clock
        self._keep = conf.get().RETENTION_SECONDS
        self._forget_at = clock() + _FORGET_SECONDS

    def tick(self) -> int:
        connection = self.connection
        advanced = 0
        while advanced < _RUNS and in_transaction(connection, letter_runs.advance_next) is not None:
            advanced += 1
        in_transaction(connection, letters.fold)
        if self._clock() >= self._forget_at:
            self._forget_at = self._clock() + _FORGET_SECONDS
            in_transaction(connection, partial(letters.forget, keep=self._keep))
        if advanced:
            ring("opsched_jobs")
            ring("opsched_events")
        return advanced
