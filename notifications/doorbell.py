"""Wake-ups through PostgreSQL's NOTIFY: a hint that something is there, never the thing itself.

`ring` sends after commit, on a connection of its own, at most once per 50 ms per channel and process: the first at
once, and one after the last. It waits for nothing: a thread makes the connection, reads the answers, and rings what
came too soon or went wrong; while that thread is idle, whoever rings sends by himself. NOTIFY holds a lock of the whole
instance until its transaction commits, so it must never ride in a business transaction. A ring may be lost; every
reader polls as well.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
from time import monotonic
from typing import Any

import psycopg
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import generators
from psycopg.pq import ExecStatus

from notifications import pg
from notifications.listener import Listener

__all__ = ["INTERVAL", "Bell", "Listener", "close", "ring"]

log = logging.getLogger(__name__)

INTERVAL = 0.05
"""Seconds between two rings of one channel by one process."""
_IDLE = 30.0
_NOTIFY = b"NOTIFY "
_CHANNEL = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Bell:
    """The sending side of one process: pending channels, the time each last rang, a thread that sends."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._pending: set[str] = set()
        self._rang: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._idle = False  # the thread waits, and its connection stands ready
        self._unanswered: str | None = None  # what somebody sent on it meanwhile

    def ring(self, channel: str) -> None:
        """Ask for one NOTIFY. Returns at once and never fails: who misses a ring finds the rows by polling."""
        if channel in self._pending and self._thread is not None:
            return  # it will be rung after this, and whoever submits in a loop need not wake the thread each time
        if _CHANNEL.fullmatch(channel) is None:
            raise ValueError(f"{channel!r} is not a channel.")
        with self._wake:
            if not self._send_now(channel):
                self._pending.add(channel)
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="opsched-doorbell", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _send_now(self, channel: str) -> bool:
        """In place of the thread, which would have to be woken first; the answer is for the thread to read."""
        now = monotonic()
        if not self._idle or self._connection is None or now < self._rang.get(channel, 0.0) + INTERVAL:
            return False
        self._idle, self._unanswered, self._rang[channel] = False, channel, now
        try:
            self._connection.pgconn.send_query(_NOTIFY + channel.encode())
        except psycopg.Error as problem:
            log.debug("The doorbell's connection is broken (%s); its thread makes another.", problem)
        return True

    def close(self, timeout: float = 2.0) -> None:
        """Send what is pending, then end the thread and its connection. Idempotent; a later ring starts anew."""
        with self._wake:
            thread, self._closing = self._thread, True
            self._wake.notify()
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while (due := self._wait()) is not None:
            self._send(due)

    def _wait(self) -> list[str] | None:
        """Channels to ring now, none where only an answer is to be read; None to end.

        Ends by itself when idle, so that no connection is held for nothing.
        """
        with self._wake:
            idle_at = monotonic() + _IDLE
            while True:
                now = monotonic()
                due = [c for c in self._pending if self._closing or now >= self._rang.get(c, 0.0) + INTERVAL]
                if due or self._unanswered is not None:
                    self._idle = False
                    self._pending.difference_update(due)
                    self._rang.update(dict.fromkeys(due, now))
                    return due
                if self._closing or (not self._pending and now >= idle_at):
                    # Before the next ring can start another thread, which uses the connection as well.
                    self._disconnect()
                    self._thread = None
                    return None
                self._idle = self._connection is not None
                next_at = min((self._rang[c] + INTERVAL for c in self._pending), default=idle_at)
                self._wake.wait(next_at - now)

    def _send(self, channels: list[str]) -> None:
        if self._unanswered is not None and not self._was_heard():
            channels = [*channels, self._unanswered]
        self._unanswered = None
        if channels:
            self._ring(channels)

    def _was_heard(self) -> bool:
        """The answer to what a caller sent: was it a NOTIFY that went through?"""
        assert self._connection is not None  # noqa: S101 - only the thread gives it up
        try:
            answers = self._connection.wait(generators.execute(self._connection.pgconn))
        except psycopg.Error:
            self._disconnect()
            return False
        return bool(answers) and answers[-1].status == ExecStatus.COMMAND_OK

    def _ring(self, channels: list[str]) -> None:
        for last_try in (False, True):
            try:
                if self._connection is None:
                    self._connection = pg.connect(name="opsched doorbell")
                self._connection.execute("SELECT pg_notify(c, '') FROM unnest(%s::text[]) AS c", [channels])
                return
            except psycopg.Error as problem:
                self._disconnect()
                if last_try:
                    log.warning(
                        "The doorbell could not ring (%s); readers find the rows by polling.", problem
                    )

    def _disconnect(self) -> None:
        self._idle = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_process = {"bell": Bell()}
"""One bell per process; a fork gets its own."""


def ring(channel: str, connection: BaseDatabaseWrapper | None = None) -> None:
    """Wake whoever listens to `channel`: after commit when Django's connection is in a transaction, else now.

    `connection`: Django's, for callers that have it at hand; looking it up is most of what a ring costs them.
    """
    connection = connection or transaction.get_connection()
    if connection.in_atomic_block:
        connection.on_commit(lambda: _process["bell"].ring(channel))
    else:
        _process["bell"].ring(channel)


def close() -> None:
    """Send what is pending and give the connection back, e.g. before a test database is dropped."""
    _process["bell"].close()


def _forked() -> None:
    """A child has neither the thread nor a right to the parent's connection; psycopg leaves that one alone."""
    _process["bell"] = Bell()


atexit.register(close)
os.register_at_fork(after_in_child=_forked)
