"""The shape every background loop has: `start()`, `stop()`, `tick()`; and what happens when the database goes away.

A loop owns one connection. Lost connections are made again with a capped wait; any other error is a bug, so the loop
ends and says so to whoever started it, which stops the worker loudly.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg
from django.db import InterfaceError, OperationalError

from jobs.database import limit_idle_transactions
from notifications.pg import Backoff, connect

__all__ = ["DATABASE_AWAY", "Loop", "first_line"]

# psycopg's own, and the two Django wraps them in; and a standby that a failover led to, until it is the primary.
DATABASE_AWAY = (
    psycopg.OperationalError,
    OperationalError,
    InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)

logger = logging.getLogger("opsched.worker")


class Loop:
    """A named thread that calls `tick()` every `interval` seconds. Stop is idempotent and works before start."""

    def __init__(self, *, name: str, interval: float, on_death: Callable[[str, BaseException], None]) -> None:
        self.name = name
        self.session = f"opsched {name}"
        self.interval = interval
        self._on_death = on_death
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection | None = None
        self._backoff = Backoff()

    def tick(self) -> int:
        """One round; returns how much was done. Raises psycopg.OperationalError when the database is away."""
        raise NotImplementedError  # the subclass is the loop

    def connected_anew(self) -> None:
        """Called when a new connection was made: whatever was known through the old one may be stale."""

    @property
    def connection(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(autocommit=True, name=self.session)
            limit_idle_transactions(self._connection)
            self.connected_anew()
        return self._connection

    def start(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name=f"opsched-{self.name}", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        if self._connection is not None and not self._connection.closed:
            self._connection.close()

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                self.tick()
                self._backoff.reset()
                wait = self.interval
            except DATABASE_AWAY as error:
                wait = self._lost(error)
            except BaseException as error:
                logger.exception("%s ended by an error", self.name)
                self._on_death(self.name, error)
                raise

    def _lost(self, error: Exception) -> float:
        wait = self._backoff.next()
        logger.warning("%s: database away (%s); again in %.1f s", self.name, first_line(error), wait)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return wait


def first_line(error: BaseException) -> str:
    """What an error says, for a line of the log; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
