"""Which life of the log this is: its start, its state, and the new epoch after a restore.

Ticks hold transaction ids, which mean nothing in another cluster, after a failover or in a copy of the database.
The lineage (cluster, timeline, database) tells these apart without being told; an epoch's value is random, so that
two restores of the same backup differ. Clients with a position of an earlier epoch are told `reset`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import psycopg

from notifications import pg
from notifications.errors import LogNotReady, NotificationsError
from notifications.position import Position
from notifications.statements import SqlCursor, statement

__all__ = ["LogState", "adopt", "new_epoch", "state"]

_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """Where the log begins and ends now."""

    epoch: str
    oldest: int
    """The oldest tick kept; its own events may be gone, those of the next are there."""
    newest: int
    ticker_age: float
    """Seconds since a ticker last showed that it is alive, by the database's clock."""

    @property
    def head(self) -> Position:
        """Behind everything there is."""
        return Position.mark(self.epoch, self.newest)

    @property
    def start(self) -> Position:
        """Before everything that is kept."""
        return Position.mark(self.epoch, self.oldest)

    def holds(self, position: Position) -> bool:
        """Can a reader go on from here without a hole? Not from another epoch, the future or the pruned past."""
        if position.epoch != self.epoch or position.tick <= self.oldest:
            return False
        return position.tick <= self.newest or (position.tick == self.newest + 1 and position.row == 0)


def state(cursor: SqlCursor) -> LogState:
    """The log's state; begins the log when nobody has yet (a new database, a test that emptied all tables).

    Raises LogNotReady when the tables were emptied again meanwhile.
    """
    for _ in range(2):
        cursor.execute(statement("log_state"))
        row = cursor.fetchone()
        if row is not None and row[2] is not None:
            return LogState(epoch=row[0], ticker_age=float(row[1]), oldest=row[2], newest=row[3])
        cursor.execute(statement("begin_log"), {"value": secrets.token_hex(4)})
    raise LogNotReady("The event log could not be begun.")


def adopt(cursor: SqlCursor) -> bool:
    """Called by a ticker that begins to lead: new epoch if this is not the database that the ticks were made in."""
    state(cursor)
    cursor.execute(statement("same_lineage"))
    if cursor.fetchone()[0]:
        return False
    cursor.execute(statement("new_epoch"), {"value": secrets.token_hex(4)})
    return True


def new_epoch() -> str:
    """Begin a new epoch by hand, e.g. after a restore that left no trace. Returns its value.

    Events stay readable by SQL, but every stream is told to start afresh.
    """
    value = secrets.token_hex(4)
    with pg.connect(name="opsched new epoch") as connection:
        for _ in range(_TRIES):
            try:
                connection.execute(statement("new_epoch"), {"value": value})
            except psycopg.errors.UniqueViolation:
                continue  # a ticker made a tick in the same moment
            return value
    raise NotificationsError("A ticker was faster every time; stop the processes and try again.")
