"""The hub: what one event loop's connections and the tailer's thread have in common.

Its own state belongs to the loop. Only `interest()` and `deliver()` run in the tailer's thread; they touch the list of
those who join, under a lock. Crossing into the loop costs one call per batch, whatever the number of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import monotonic
from typing import Any

from notifications.connections import CHUNK, Connection, Registry
from notifications.envelope import control
from notifications.position import Position
from notifications.tailer import Batch, Tailer

__all__ = ["Hub"]


_LOOK_AGAIN = 0.002


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Join:
    connection: Connection
    topics: frozenset[str]
    marked: asyncio.Future[Position]


class Hub:
    """Registry of a loop, fed by the tailer while anybody is connected."""

    def __init__(self, tailer: Tailer, upkeep: Callable[[Hub], Coroutine[Any, Any, None]]) -> None:
        self.registry = Registry()
        self.position: Position | None = None
        """Everything up to here has been put into the buffers."""
        self._loop = asyncio.get_running_loop()
        self._tailer = tailer
        self._upkeep = upkeep
        self._upkeep_task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._joining: list[_Join] = []
        self._counted: list[_Join] = []
        self._handed: list[_Join] = []
        self._topics: frozenset[str] = frozenset()
        self.on_join: Callable[[Connection], None] = lambda connection: None

    # --- in the loop ------------------------------------------------------------------------------------------------
    def enter(self, connection: Connection) -> None:
        """Count a connection in; from now on it is pinged, checked and bounded."""
        self.registry.add(connection)
        self._tailer.attach(self)
        if self._upkeep_task is None or self._upkeep_task.done():
            self._upkeep_task = self._loop.create_task(self._upkeep(self), name="opsched-upkeep")

    async def join(self, connection: Connection, topics: frozenset[str]) -> Position:
        """Subscribe, and return the mark: every event behind it will be offered to the connection, none before it.

        The tailer reads with the topics known when a round begins, so the mark is where its next round begins.
        """
        self.registry.subscribe(connection, frozenset())
        join = _Join(connection=connection, topics=topics, marked=self._loop.create_future())
        with self._lock:
            self._joining.append(join)
        self._tailer.attach(self)
        return await join.marked

    def keep_reading(self) -> None:
        """See to it that the tailer runs; an error may have ended it."""
        self._tailer.ensure()

    def drop_topics(self, connection: Connection, topics: frozenset[str]) -> None:
        """Listen to less. Nothing is missed or repeated by it, so no mark is needed."""
        self.registry.subscribe(connection, connection.topics - topics)
        self._topics = self.registry.topics

    def leave(self, connection: Connection) -> None:
        """Forget a connection, at once. Idempotent."""
        self.registry.remove(connection)
        self._topics = self.registry.topics
        if not len(self.registry):
            self._tailer.detach(self)
            if self._upkeep_task is not None:
                self._upkeep_task.cancel()

    def close(self, reason: str = "shutdown") -> None:
        """Close every connection."""
        for connection in list(self.registry.connections):
            connection.close(reason)

    def publish(self, batch: Batch) -> None:
        """Offer a batch's events to those who listen."""
        for envelope in batch.envelopes:
            for connection in self.registry.listeners(envelope.topics):
                connection.offer(envelope)

    def _receive(self, batch: Batch, joined: list[_Join]) -> None:
        if batch.reset:
            self._reset(batch.position)
        for join in joined:
            self._mark(join, batch.begins)
        with self._lock:
            self._handed = [join for join in self._handed if join not in joined]
        self.position = batch.position
        self.publish(batch)

    def _reset(self, position: Position) -> None:
        """Tell those who listen; whoever joins with this batch begins behind it and has nothing to be told."""
        for connection in self.registry.listeners(self.registry.topics):
            connection.after = None
            connection.put(control(connection.protocol, "reset", position=position))

    def _mark(self, join: _Join, mark: Position) -> None:
        """Only now can events reach it: earlier ones of this loop were read without its topics, with holes."""
        if join.marked.done() or join.connection not in self.registry.connections:
            return
        self.registry.subscribe(join.connection, join.topics)
        self._topics = self.registry.topics
        join.marked.set_result(mark)
        self.on_join(join.connection)

    def _look(self, drained: threading.Event, deadline: float) -> None:
        if monotonic() >= deadline or all(c.size <= CHUNK for c in self.registry.connections):
            drained.set()
        else:
            self._loop.call_later(_LOOK_AGAIN, self._look, drained, deadline)

    # --- in the tailer's thread -------------------------------------------------------------------------------------
    def interest(self) -> frozenset[str]:
        """Topics of those who listen or join; whoever joins is marked with the next batch.

        Whose mark has been handed over counts until the loop has taken it: a busy loop may be rounds behind, and what
        is read in between belongs to them already.
        """
        with self._lock:
            self._counted += self._joining
            self._joining.clear()
            return self._topics.union(*(join.topics for join in self._counted + self._handed))

    def deliver(self, batch: Batch) -> bool:
        """Hand a batch over to the loop. False when the loop is closed."""
        with self._lock:
            joined, self._counted = self._counted, []
            self._handed += joined
        try:
            self._loop.call_soon_threadsafe(self._receive, batch, joined)
        except RuntimeError:
            return False
        return True

    def settle(self, timeout: float) -> None:
        """Wait until nobody has more than a chunk waiting, or for the time-out."""
        drained = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody to wait for
            self._loop.call_soon_threadsafe(self._look, drained, monotonic() + timeout)
            drained.wait(2 * timeout)
