"""Discards jobs whose start deadline or deadline has passed while they waited: twice a second, in every worker.

What one worker looks at the others skip. A look is one index read where nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable

from jobs.database import in_transaction
from jobs.loop import Loop
from jobs.store.timing import expire_due
from notifications.doorbell import ring

__all__ = ["Expirer"]

INTERVAL = 0.5


class Expirer(Loop):
    """One round takes batches until nothing is due any more."""

    def __init__(self, *, on_death: Callable[[str, BaseException], None]) -> None:
        super().__init__(name="expire", interval=INTERVAL, on_death=on_death)

    def tick(self) -> int:
        expired, more = 0, True
        while more:
            closed, more = in_transaction(self.connection, expire_due)
            expired += closed
        if expired:
            ring("opsched_events")
        return expired
