"""Forgetting old events, in bounded batches that each commit by themselves.

Ticks go first: a reader who would have needed the rows is then told `reset`. The other way round it would find the
ticks, miss the rows, and nobody would know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from notifications.conf import event_settings
from notifications.epoch import state
from notifications.statements import SqlCursor, statement

__all__ = ["Pruned", "prune", "prune_expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was deleted."""

    ticks: int
    rows: int


def prune_expired() -> Pruned:
    """Delete what is older than OPSCHED["EVENTS"]["RETENTION_HOURS"]."""
    return prune(timezone.now() - timedelta(hours=event_settings().RETENTION_HOURS))


def prune(older_than: datetime, *, batch: int = 2000, batches: int = 500) -> Pruned:
    """Delete ticks and rows from before `older_than`, at most `batch` times `batches` of each; call again for the rest.

    Not inside a transaction: every batch is to commit by itself.
    """
    with connection.cursor() as cursor:
        base = _base(cursor, older_than)
        ticks = _ticks(cursor, base, batch, batches)
        rows = _rows(cursor, base, older_than, batch, batches)
    return Pruned(ticks=ticks, rows=rows)


def _base(cursor: SqlCursor, before: datetime) -> int:
    """The newest tick from before the time: it stays, since the tick after it is read against it."""
    log = state(cursor)
    cursor.execute(statement("first_tick_since"), {"before": before})
    row = cursor.fetchone()
    return log.newest if row is None else max(log.oldest, row[0] - 1)


def _ticks(cursor: SqlCursor, base: int, batch: int, batches: int) -> int:
    oldest = state(cursor).oldest
    for _ in range(batches):
        cursor.execute(statement("prune_ticks"), {"base": base, "limit": batch})
        if state(cursor).oldest >= base:
            break
    return min(base, state(cursor).oldest) - oldest


def _rows(cursor: SqlCursor, base: int, before: datetime, batch: int, batches: int) -> int:
    # Only as far as the ticks are gone already.
    base = min(base, state(cursor).oldest)
    floor = total = 0
    for _ in range(batches):
        found = {"base": base, "before": before, "floor": floor, "limit": batch}
        cursor.execute(statement("prune_events"), found)
        count, last = cursor.fetchone()
        total += count
        if count < batch:
            break
        floor = last
    return total
