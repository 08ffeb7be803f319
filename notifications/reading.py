"""Reading the event log: the same function for live tailing, for resuming and for REST.

Every page is exact: positions that a reader got from one page are where the next begins, whatever the page size. A page
that raced with pruning says `reset` instead of leaving a hole. Read on the primary only: a standby's snapshots differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection

from notifications.epoch import LogState, state
from notifications.errors import BadPosition
from notifications.items import expand, searched
from notifications.position import ROW_END, Position
from notifications.statements import SqlCursor, statement

__all__ = ["LogEvent", "Page", "count_after", "read_after", "read_page"]

_SCAN = 50
"""Rows fetched at once: each may hold 500 events, so this bounds a page's memory."""
_MOST_ROWS = 1000
"""Rows that one read_after() looks at, at most, when its topics are rare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event, as it was appended."""

    position: Position
    kind: str
    topics: tuple[str, ...]
    payload: Any
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events in causal order, and where to go on."""

    events: tuple[LogEvent, ...]
    position: Position
    """Pass it to the next call. It moves on even when no event matched."""
    scanned: int
    """Rows looked at."""
    more: bool
    """Is there more to read right now?"""
    reset: bool = False
    """The position asked for cannot be continued: look at the state again, then go on from `position`."""


def read_after(
    position: Position | str | None,
    topics: Iterable[str] | None = None,
    limit: int = 100,
    *,
    cursor: SqlCursor | None = None,
) -> Page:
    """Up to `limit` events behind `position` (None: from the oldest kept), of `topics` (None: of all).

    A text that is no position is treated as one that is no longer known: reset.
    """
    if cursor is None:
        with connection.cursor() as own:
            return read_after(position, topics, limit, cursor=own)
    log = state(cursor)
    try:
        after = Position.parse(position) if isinstance(position, str) else position or log.start
    except BadPosition:
        return _reset(log)
    wanted = None if topics is None else frozenset(topics)
    page = read_page(cursor, log, after, topics=wanted, limit=limit)
    while page.more and len(page.events) < limit and page.scanned < _MOST_ROWS:
        rest = read_page(cursor, log, page.position, topics=wanted, limit=limit - len(page.events))
        if rest.reset:
            break  # pruned meanwhile: what was found is exact, the next call will say reset
        page = replace(rest, events=page.events + rest.events, scanned=page.scanned + rest.scanned)
    return page


def read_page(
    cursor: SqlCursor,
    log: LogState,
    after: Position,
    *,
    topics: Iterable[str] | None,
    limit: int,
    scan: int = _SCAN,
) -> Page:
    """One page behind `after`, no further than `log.newest`."""
    if not log.holds(after):
        return _reset(log)
    wanted = None if topics is None else sorted(topics)
    rows = _rows(cursor, after, log.newest, wanted, scan)
    # Pruning deletes ticks before rows. If the tick that we began at is still there now, the rows were all there.
    now = state(cursor)
    if not now.holds(after):
        return _reset(now)
    return _page(log, after, rows, wanted, limit, full=len(rows) == scan)


def count_after(cursor: SqlCursor, after: Position, limit: int) -> int:
    """About how many rows a resume from here would read, counted up to `limit`."""
    cursor.execute(statement("count_after"), {"tick": after.tick - 1, "limit": limit})
    return int(cursor.fetchone()[0])


def _rows(
    cursor: SqlCursor, after: Position, upto: int, topics: list[str] | None, scan: int
) -> list[tuple[int, int, datetime, str | None]]:
    if after.tick > upto:
        return []
    asked = None if topics is None else searched(topics)
    found = {"tick": after.tick, "row": after.row, "upto": upto, "topics": asked, "limit": scan}
    cursor.execute(statement("read_rows"), found)
    return list(cursor.fetchall())


def _page(
    log: LogState,
    after: Position,
    rows: list[tuple[int, int, datetime, str | None]],
    topics: list[str] | None,
    limit: int,
    *,
    full: bool,
) -> Page:
    wanted = None if topics is None else frozenset(topics)
    events: list[LogEvent] = []
    for event in _events(log.epoch, after, rows, wanted):
        if len(events) == limit:
            return Page(events=tuple(events), position=events[-1].position, scanned=len(rows), more=True)
        events.append(event)
    end = log.head
    if full:
        tick, row, *_ = rows[-1]
        end = Position(epoch=log.epoch, tick=tick, row=row, index=ROW_END)
    return Page(events=tuple(events), position=max(end, after, key=_key), scanned=len(rows), more=full)


def _events(
    epoch: str,
    after: Position,
    rows: list[tuple[int, int, datetime, str | None]],
    wanted: frozenset[str] | None,
) -> Iterator[LogEvent]:
    for tick, row, at, items in rows:
        if items is None:
            continue
        seen = after.index if (tick, row) == (after.tick, after.row) else -1
        for index, kind, topics, payload in expand(json.loads(items), wanted):
            if index > seen:
                place = Position(epoch=epoch, tick=tick, row=row, index=index)
                yield LogEvent(position=place, kind=kind, topics=topics, payload=payload, at=at)


def _reset(log: LogState) -> Page:
    return Page(events=(), position=log.head, scanned=0, more=False, reset=True)


def _key(position: Position) -> tuple[int, int, int]:
    return position.key
