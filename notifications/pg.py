"""Raw psycopg connections for the loops that live longer than a request: ticker, tailer, doorbell, workers.

Made from Django's settings, so a test database is honoured, but free of Django's cursor classes and of its
per-thread connection handling: a loop owns its connection, and nobody closes it behind its back.
"""

from __future__ import annotations

import random
from typing import Any

import psycopg
from django.db import connections

__all__ = ["Backoff", "connect", "connect_for_log"]

_DJANGO_ONLY = ("cursor_factory", "context")


def connect(*, autocommit: bool = True, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection to the `default` database; `name` is shown in pg_stat_activity."""
    wrapper = connections["default"]
    params: dict[str, Any] = wrapper.get_connection_params()
    for key in _DJANGO_ONLY:
        params.pop(key, None)
    params.setdefault("connect_timeout", 5)
    params["application_name"] = name
    connection = psycopg.connect(autocommit=True, **params)
    role = wrapper.settings_dict["OPTIONS"].get("assume_role")
    if role:
        connection.execute("SELECT set_config('role', %s, false)", [role])
    connection.execute("SELECT set_config('TimeZone', 'UTC', false)")
    connection.autocommit = autocommit
    return connection


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
