"""The receiving side of the doorbell: LISTEN on a connection of its own, behind one descriptor that never changes.

Reconnects by itself. After a reconnect every channel counts as rung, since rings may have been missed. What rings is
only a hint; callers look into the tables, and look there at least once a second anyway.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Iterable
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql

from notifications import pg
from notifications.waker import Waker

__all__ = ["Listener"]

log = logging.getLogger(__name__)


class Listener:
    """LISTEN on `channels`. `fileno()` suits any selector; `wait()` is for loops that wait for nothing else.

    One thread uses it; only `wake()` may be called from others.
    """

    def __init__(self, channels: Iterable[str], *, name: str = "opsched listener") -> None:
        self._channels = frozenset(channels)
        self._name = name
        self._backoff = pg.Backoff()
        self._retry_at = 0.0
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        # A selector inside a selector: the outer one keeps a stable descriptor while the inner changes sockets.
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._selector.register(self._waker, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Readable when something rang or the connection broke. Connects on the first use; stable until close()."""
        if self._connection is None and self._retry_at == 0.0:
            self._connect()
        fileno: int = self._selector.fileno()
        return fileno

    def drain(self) -> set[str]:
        """Channels that rang since the last call. Never blocks, except to reconnect when a try is due."""
        self._waker.heard()
        if self._connection is None:
            return set(self._channels) if monotonic() >= self._retry_at and self._connect() else set()
        try:
            return self._read(self._connection)
        except psycopg.Error as problem:
            log.info("%s: lost its connection (%s); will reconnect.", self._name, str(problem).strip())
            self._disconnect()
            return set()

    def wait(self, timeout: float) -> set[str]:
        """Wait for a ring, a wake() or the time-out, then drain."""
        if self._connection is None and monotonic() >= self._retry_at:
            return self.drain()
        self._selector.select(max(0.0, timeout))
        return self.drain()

    def wake(self) -> None:
        """End a wait() early; callable from any thread, also after close()."""
        self._waker.wake()

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._disconnect()
        self._selector.close()
        self._waker.close()

    def _connect(self) -> bool:
        try:
            connection = pg.connect(name=self._name)
            for channel in sorted(self._channels):
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except psycopg.Error as problem:
            log.info("%s: cannot connect (%s).", self._name, str(problem).strip())
            self._retry_at = monotonic() + self._backoff.next()
            return False
        self._connection = connection
        self._selector.register(connection.fileno(), selectors.EVENT_READ)
        self._backoff.reset()
        return True

    def _read(self, connection: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
        rang: set[str] = set()
        connection.pgconn.consume_input()
        while (notify := connection.pgconn.notifies()) is not None:
            rang.add(notify.relname.decode())
        return rang

    def _disconnect(self) -> None:
        if self._connection is not None:
            # By descriptor, looked up in the map: a broken connection no longer knows its socket.
            for key in list(self._selector.get_map().values()):
                if key.fileobj is not self._waker:
                    self._selector.unregister(key.fileobj)
            self._connection.close()
            self._connection = None
            self._retry_at = monotonic() + self._backoff.next()
