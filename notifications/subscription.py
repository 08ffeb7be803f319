"""A subscription: subscribe, note the mark, replay to it, go live. The seam neither loses nor repeats an event.

While the replay runs, live events from behind the mark pile up in the connection's buffer; they are taken when the
replay has reached the mark. A replay is read in small pages, as fast as the client takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, replace

from django.db import connection as database

from notifications.conf import event_settings
from notifications.connections import CHUNK, Connection
from notifications.envelope import Envelope, control
from notifications.epoch import state
from notifications.errors import BadPosition
from notifications.hub import Hub
from notifications.position import Position
from notifications.reading import Page, count_after, read_page
from notifications.threads import in_thread

__all__ = ["JOIN_TIMEOUT", "subscribe"]

JOIN_TIMEOUT = 10.0
"""Seconds to wait for the tailer's mark; longer means that the database is away."""
_ROWS, _EVENTS = 20, 1000


async def subscribe(
    hub: Hub, connection: Connection, topics: frozenset[str], after: str | None
) -> AsyncGenerator[list[bytes], None]:
    """Frames for the client, first of all `subscribed`, until the connection is closed.

    `after` is the last position the client saw; None begins now. Raises TimeoutError when no mark can be had.
    """
    start, known = _parse(after)
    connection.after = start
    async with asyncio.timeout(JOIN_TIMEOUT):
        mark = await hub.join(connection, topics)
    yield [control(connection.protocol, "subscribed", position=start or mark, topics=sorted(topics))]
    if not known:
        yield [_reset(connection, mark)]
    elif start is not None:
        async for frames in _replay(connection, topics, _Stretch(begin=start, mark=mark)):
            yield frames
    while frames := await connection.take():
        yield frames


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """What is to be replayed: behind `begin`, up to and including `mark`."""

    begin: Position
    mark: Position

    @property
    def newest(self) -> int:
        """The last tick that has events before the mark."""
        return self.mark.tick if self.mark.row else self.mark.tick - 1


async def _replay(
    connection: Connection, topics: frozenset[str], stretch: _Stretch
) -> AsyncGenerator[list[bytes], None]:
    scanned, page = 0, await in_thread(_first_page, stretch, topics)
    while True:
        scanned += page.scanned
        if page.reset or scanned > event_settings().REPLAY_ROWS:
            yield [_reset(connection, stretch.mark)]
            return
        events = (event for event in page.events if event.position.key <= stretch.mark.key)
        envelopes = (Envelope.of(event) for event in events)
        for frames in _chunks(e.sse if connection.protocol == "sse" else e.ws for e in envelopes):
            yield frames
        if not page.more or connection.closed is not None:
            return
        page = await in_thread(_next_page, stretch, topics, page.position)


def _first_page(stretch: _Stretch, topics: frozenset[str]) -> Page:
    begin, mark = stretch.begin, stretch.mark
    with database.cursor() as cursor:
        log = state(cursor)
        if begin.epoch != mark.epoch or not log.holds(begin):
            return Page(events=(), position=mark, scanned=0, more=False, reset=True)
        if begin.key >= mark.key:
            # The client is ahead of this process; the connection skips what it has seen.
            return Page(events=(), position=begin, scanned=0, more=False)
        most = event_settings().REPLAY_ROWS
        if count_after(cursor, begin, most + 1) > most:
            return Page(events=(), position=mark, scanned=0, more=False, reset=True)
    return _next_page(stretch, topics, begin)


def _next_page(stretch: _Stretch, topics: frozenset[str], after: Position) -> Page:
    with database.cursor() as cursor:
        log = replace(state(cursor), newest=stretch.newest)
        return read_page(cursor, log, after, topics=topics, limit=_EVENTS, scan=_ROWS)


def _chunks(frames: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for frame in frames:
        chunk.append(frame)
        size += len(frame)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _reset(connection: Connection, mark: Position) -> bytes:
    """Events between the two positions are not sent: the client looks at the state again and goes on from the mark."""
    connection.after = None
    return control(connection.protocol, "reset", position=mark)


def _parse(text: str | None) -> tuple[Position | None, bool]:
    """The position, and whether there is anything to go on from; what cannot be read is a reset, not an error."""
    try:
        return (Position.parse(text) if text else None, True)
    except BadPosition:
        return None, False
