"""The ticker: records from time to time what had been committed, which is what orders the log.

Any number of processes run one; a lock of the database lets one lead, the others look once a poll whether it is gone.
It makes a tick only when there is something new, at most one per 10 ms, and tells tailers through `opsched_ticks`.
If no ticker runs, events wait; none is lost. Must not do anything else: whatever delays it delays every stream.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg

from notifications import epoch, pg
from notifications.conf import event_settings
from notifications.errors import LogNotReady
from notifications.listener import Listener
from notifications.statements import statement

__all__ = ["Ticker", "TickerRound"]

log = logging.getLogger(__name__)

_LOCK = 0x6F70735F7469636B
"""Advisory lock of the leading ticker, one per database."""
_MIN_INTERVAL = 0.01
_HOT_ROUNDS = 10
"""Rounds without news, 10 ms apart, before it waits for the doorbell again."""
_ALIVE = 2.0
_FROZEN = 10.0
"""Seconds of silence after which the server ends a ticker's session. A live one speaks once a poll, a second or less;
one that is frozen (a stopped process, a machine that is gone) would keep the lock, and every stream would wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerRound:
    """What one round did."""

    made: int
    """Ticks made: 0 or 1."""
    leads: bool
    """Does this ticker hold the lock?"""


class Ticker:
    """start() / stop() run it in a thread; tick() does one round in the caller's."""

    def __init__(self, *, name: str = "opsched ticker", frozen_after: float = _FROZEN) -> None:
        self._name = name
        self._frozen_after = frozen_after
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._listener: Listener | None = None
        self._leads = False
        self._alive_at = 0.0
        self._guard = threading.Lock()

    def start(self) -> None:
        """Run in a thread until stop(). Starting twice is starting once."""
        with self._guard:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="opsched-ticker", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread, give up the lock and the connections. Idempotent, works before start()."""
        self._stop.set()
        with self._guard:
            thread, self._thread = self._thread, None
            if (listener := self._listener) is not None:
                listener.wake()
        if thread is not None:
            thread.join()
        self._disconnect()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def leads(self) -> bool:
        """Is this the one that makes ticks?"""
        return self._leads

    def tick(self) -> TickerRound:
        """One round: take the lock if it is free, make a tick if there is news. Raises psycopg.Error."""
        connection = self._connect()
        if not self._leads and not self._lead(connection):
            return TickerRound(made=0, leads=False)
        made = self._make(connection)
        if monotonic() - self._alive_at >= _ALIVE:
            connection.execute(statement("ticker_alive"))
            self._alive_at = monotonic()
        return TickerRound(made=made, leads=True)

    def _run(self) -> None:
        backoff, quiet = pg.Backoff(), 0
        with self._guard:
            self._listener = Listener(["opsched_events"], name="opsched ticker listener")
        while not self._stop.is_set():
            try:
                done = self.tick()
            except (psycopg.Error, LogNotReady) as problem:
                log.warning("The ticker lost the database (%s); it will reconnect.", str(problem).strip())
                self._disconnect()
                self._stop.wait(backoff.next())
                continue
            backoff.reset()
            quiet = 0 if done.made else quiet + 1
            self._wait(done, quiet)

    def _wait(self, done: TickerRound, quiet: int) -> None:
        """Shortly while events come, so that a steady flow does not wait for rings; else until a ring or the poll."""
        poll = event_settings().POLL_SECONDS
        if not done.leads:
            self._stop.wait(poll)
        elif quiet < _HOT_ROUNDS:
            self._stop.wait(_MIN_INTERVAL)
        elif self._listener is not None:
            self._listener.wait(poll)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = pg.connect_for_log(name=self._name)
            limit = f"{self._frozen_after}s"
            for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                self._connection.execute("SELECT set_config(%s, %s, false)", [setting, limit])
        return self._connection

    def _disconnect(self) -> None:
        self._leads = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _lead(self, connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row is None or not row[0]:
            return False
        with connection.cursor() as cursor:
            if epoch.adopt(cursor):
                log.warning(
                    "The event log was restored or copied: a new epoch begins, all streams start afresh."
                )
        self._leads = True
        self._alive_at = monotonic() - _ALIVE
        return True

    def _make(self, connection: psycopg.Connection[tuple[Any, ...]]) -> int:
        for _ in range(2):
            with connection.cursor() as cursor:
                cursor.execute(statement("make_tick"))
                made, begun = cursor.fetchone() or (None, False)
                if begun:
                    break
                epoch.state(cursor)  # somebody emptied the tables: begin the log again
        else:
            return 0
        if made is None:
            return 0
        # A statement of its own: NOTIFY's lock must not wait for the tick's fsync.
        connection.execute("SELECT pg_notify('opsched_ticks', '')")
        return 1
