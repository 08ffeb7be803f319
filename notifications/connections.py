"""Who listens in this process: connections with bounded buffers, found by topic. Lives in one event loop, no locks.

A connection that cannot keep up is closed, never skipped: its client resumes from the last position it saw.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from notifications.envelope import Envelope
from notifications.position import Position

__all__ = ["CHUNK", "Connection", "Identity", "Registry"]

CHUNK = 65_536
"""Bytes handed to the server at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose connection it is, and by what right."""

    user_id: Any
    fingerprint: tuple[Any, ...]
    """The user's state and permissions when they were last checked."""
    session_key: str | None = None
    token_key: str | None = None


class Connection:
    """One client: its topics, what waits to be sent, and why it was closed."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_frames",
        "_limit",
        "_ping_at",
        "_waiter",
        "after",
        "closed",
        "identity",
        "protocol",
        "size",
        "told",
        "topics",
    )  # fmt: skip

    def __init__(self, *, identity: Identity, protocol: str, limit: int) -> None:
        self.identity = identity
        self.protocol = protocol
        self.topics: frozenset[str] = frozenset()
        self.after: Position | None = None
        """Live events up to here were seen already, or will come by replay."""
        self.told: Position | None = None
        """The last position that was put into the buffer, so that a silent stream is told when it falls behind."""
        self.closed: str | None = None
        """Why: gone, slow, revoked, replaced, shutdown."""
        self.size = 0
        self._ping_at = monotonic()
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = asyncio.Event()

    def offer(self, envelope: Envelope) -> None:
        """Queue an event, unless it was seen. Closes the connection when the buffer is full."""
        position = envelope.position
        if position is not None:
            if (
                self.after is not None
                and position.epoch == self.after.epoch
                and position.key <= self.after.key
            ):
                return
            self.told = position
        elif self.size:
            return  # a figure for somebody who is behind: the next one will do
        self.put(envelope.sse if self.protocol == "sse" else envelope.ws)

    def put(self, frame: bytes) -> None:
        """Queue a frame as it is."""
        if self.closed is not None:
            return
        if self.size + len(frame) > self._limit:
            self.close("slow")
            return
        self._frames.append(frame)
        self.size += len(frame)
        self._wake()

    def close(self, reason: str) -> None:
        """End the stream; the first reason counts. What waits is dropped."""
        if self.closed is None:
            self.closed = reason
            self.clear()
            self._wake()
            self._ended.set()

    def clear(self) -> None:
        """Drop what waits."""
        self._frames.clear()
        self.size = 0

    async def ended(self) -> None:
        """Wait until it is closed."""
        await self._ended.wait()

    def ping_due(self, now: float, every: float) -> bool:
        """Is it time for a ping? Spread a little, so that clients who came together are not pinged together."""
        if now < self._ping_at + every:
            return False
        self._ping_at = now - (hash(self) % 256) / 256 * every * 0.1
        return True

    async def take(self) -> list[bytes]:
        """Wait for frames and take about 64 KB of them. Empty when the connection was closed."""
        while not self._frames and self.closed is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken, size = [], 0
        while self._frames and size < CHUNK:
            frame = self._frames.popleft()
            taken.append(frame)
            size += len(frame)
        self.size -= size
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Registry:
    """Connections by topic and by user."""

    def __init__(self) -> None:
        self._by_topic: dict[str, set[Connection]] = {}
        self._per_user: dict[Any, int] = {}
        self.connections: set[Connection] = set()

    def __len__(self) -> int:
        return len(self.connections)

    @property
    def topics(self) -> frozenset[str]:
        """What somebody listens to."""
        return frozenset(self._by_topic)

    def of_user(self, user_id: Any) -> int:
        """How many connections a user has in this process."""
        return self._per_user.get(user_id, 0)

    def add(self, connection: Connection) -> None:
        """Register a connection without topics yet. Idempotent."""
        if connection not in self.connections:
            self.connections.add(connection)
            user = connection.identity.user_id
            self._per_user[user] = self._per_user.get(user, 0) + 1

    def subscribe(self, connection: Connection, topics: frozenset[str]) -> None:
        """Replace the connection's topics."""
        for topic in connection.topics - topics:
            self._leave(connection, topic)
        for topic in topics - connection.topics:
            self._by_topic.setdefault(topic, set()).add(connection)
        connection.topics = topics

    def remove(self, connection: Connection) -> None:
        """Forget a connection. Idempotent."""
        if connection in self.connections:
            self.subscribe(connection, frozenset())
            self.connections.discard(connection)
            user = connection.identity.user_id
            self._per_user[user] -= 1
            if not self._per_user[user]:
                del self._per_user[user]

    def listeners(self, topics: Iterable[str]) -> set[Connection]:
        """Who listens to any of the topics, each once."""
        found: set[Connection] = set()
        for topic in topics:
            found |= self._by_topic.get(topic, _NOBODY)
        return found

    def _leave(self, connection: Connection, topic: str) -> None:
        listeners = self._by_topic[topic]
        listeners.discard(connection)
        if not listeners:
            del self._by_topic[topic]


_NOBODY: set[Connection] = set()
