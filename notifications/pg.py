"""Raw psycopg connections for the loops that live longer than a request: ticker, tailer, doorbell, workers.

Made from Django's settings, so a test database is honoured, but free of Django's cursor classes and of its
per-thread connection handling: a loop owns its connection, and nobody closes it behind its back. No call on one lasts
longer than `DATABASE_SECONDS`: a database that says nothing is as good as away, and the loops know what to do then.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg
from django.db import connections

from notifications.conf import event_settings

__all__ = ["Backoff", "BoundedConnection", "connect", "connect_for_log"]

Result = TypeVar("Result")

_DJANGO_ONLY = ("cursor_factory", "context")
# For a peer that is gone without a word (TCP only): noticed by the kernel, also by a LISTEN that sends nothing itself.
_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}


def connect(*, autocommit: bool = True, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection to the `default` database; `name` is shown in pg_stat_activity."""
    wrapper = connections["default"]
    params: dict[str, Any] = wrapper.get_connection_params()
    for key in _DJANGO_ONLY:
        params.pop(key, None)
    seconds = event_settings().DATABASE_SECONDS
    params.setdefault("connect_timeout", min(5, math.ceil(seconds)))
    params.setdefault("tcp_user_timeout", round(1000 * seconds))
    for key, value in _KEEPALIVES.items():
        params.setdefault(key, value)
    params["application_name"] = name
    connection = BoundedConnection.connect(autocommit=True, **params)
    connection.seconds = seconds
    role = wrapper.settings_dict["OPTIONS"].get("assume_role")
    if role:
        connection.execute("SELECT set_config('role', %s, false)", [role])
    connection.execute(_SESSION, [f"{round(800 * seconds)}"])
    connection.autocommit = autocommit
    return connection


# The server gives up a little before the client, so that a long wait for a lock ends in order.
_SESSION = "SELECT set_config('TimeZone', 'UTC', false), set_config('statement_timeout', %s, false)"


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """Raises psycopg.OperationalError, and is closed, when the server says nothing for `seconds` during a call."""

    seconds = 8.0

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **options: Any) -> Result:
        try:
            return super().wait(_until(gen, monotonic() + self.seconds), *args, **options)
        except _Silence:
            self.close()
            raise psycopg.OperationalError(f"no answer for {self.seconds:g} s") from None


class _Silence(Exception):
    """The time for an answer is over."""


def _until(gen: Generator[Any, Any, Result], deadline: float) -> Generator[Any, Any, Result]:
    """The driver's own generator; the driver resumes it ten times a second while nothing arrives."""
    try:
        waiting = next(gen)
        while True:
            ready = yield waiting
            if not ready and monotonic() > deadline:
                raise _Silence
            waiting = gen.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


def connect_for_log(*, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """For the loops that run the same few look-ups for ever: always by index, whatever the statistics say.

    Many rows of few transactions (a bulk load) make the planner expect that one transaction id finds a large part of
    the table, and it would read all of it a hundred times a second.
    """
    connection = connect(name=name)
    connection.execute("SET enable_seqscan = off")
    return connection


class Backoff:
    """Seconds to wait before the next try to reconnect: doubling, capped, with jitter so that processes spread."""

    def __init__(self, *, first: float = 0.1, cap: float = 2.0) -> None:
        self._first, self._cap, self._next = first, cap, first

    def next(self) -> float:
        """The wait before the coming try."""
        wait, self._next = self._next, min(self._cap, self._next * 2)
        return wait * random.uniform(0.7, 1.0)  # noqa: S311  # jitter, no secret

    def reset(self) -> None:
        """A try succeeded."""
        self._next = self._first
