"""A place in the event log, as clients keep it: `epoch-tick-row-index`, an opaque word to them.

It says "everything up to and including this event has been seen". Row 0 belongs to no event: a mark at row 0
of tick n+1 says "everything through tick n", also for a listener whose topics were silent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from notifications.errors import BadPosition

__all__ = ["ROW_END", "Position"]

ROW_END = 9999
"""An index behind the last event of any row."""

_SHAPE = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,4})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Ordered by `key` inside one epoch; positions of two epochs have nothing to do with each other."""

    epoch: str
    """Which life of the log."""
    tick: int
    """Number of the tick whose events include this one."""
    row: int
    """Id of the row."""
    index: int
    """Place in the row's batch."""

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that `str()` wrote. Raises BadPosition."""
        match = _SHAPE.fullmatch(text)
        if match is None:
            raise BadPosition("This is no position of the event log.")
        epoch, tick, row, index = match.groups()
        return cls(epoch=epoch, tick=int(tick), row=int(row), index=int(index))

    @classmethod
    def mark(cls, epoch: str, tick: int) -> Position:
        """Behind everything of `tick` and before everything of the next."""
        return cls(epoch=epoch, tick=tick + 1, row=0, index=0)

    @property
    def key(self) -> tuple[int, int, int]:
        """What to compare by."""
        return (self.tick, self.row, self.index)

    def __str__(self) -> str:
        return f"{self.epoch}-{self.tick}-{self.row}-{self.index}"
