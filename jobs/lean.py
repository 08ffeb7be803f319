"""A cursor for one statement on Django's connection, for submitting one job: the driver's costs four times as much.

The driver's cursor finds out, for each call, what types the values have, which of its prepared statements that makes,
what comes back and how to read it. Here a statement is prepared once on each connection, and values and answers are
text. Waiting, interrupts and errors are the driver's own.
"""

from __future__ import annotations

import itertools
import re
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors, generators
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from jobs import conf

__all__ = ["LeanCursor", "is_lean"]

_PARAMETER = re.compile(r"%\((\w+)\)s")
_numbers = itertools.count(1)
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()
"""What is prepared on each connection."""


def is_lean(connection: BaseDatabaseWrapper) -> bool:
    """May a statement go this way? Not in a transaction, which an error would end, and not where none is prepared.

    Without autocommit the driver begins a transaction with the first statement, of which nobody would tell it here.
    """
    connection.ensure_connection()
    driver: psycopg.Connection[Any] = connection.connection
    low = driver.pgconn
    return (
        conf.get().PREPARE_STATEMENTS
        and driver.autocommit
        and low.transaction_status == TransactionStatus.IDLE
        and low.pipeline_status == PipelineStatus.OFF
    )


class LeanCursor:
    """Runs a statement with named values; the rows are tuples of text. Errors are Django's."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection: psycopg.Connection[Any] = connection.connection
        self._errors = connection.wrap_database_errors
        self._rows: list[tuple[str | None, ...]] = []

    def __enter__(self) -> LeanCursor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    @property
    def rowcount(self) -> int:
        return len(self._rows)

    def execute(self, query: Any, params: Any = None) -> None:
        """`params`: text, whole numbers and None by name. Raises what the driver's cursor would, as Django's errors."""
        name, text, places = _numbered(query)
        with self._errors, self._connection.lock:
            values = [_as_text(params[place]) for place in places]
            try:
                result = self._run(name, text, values)
            except errors.InvalidSqlStatementName:
                # Somebody has said DISCARD ALL. Nothing has run, and there is no transaction that it could have ended.
                _prepared.pop(self._connection, None)
                result = self._run(name, text, values)
        columns = range(result.nfields)
        self._rows = [
            tuple(
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in columns
            )
            for row in range(result.ntuples)
        ]

    def fetchall(self) -> list[Any]:
        return self._rows

    def _run(self, name: bytes, text: bytes, values: list[bytes | None]) -> PGresult:
        low, known = self._connection.pgconn, _prepared.setdefault(self._connection, set())
        if name not in known:
            low.send_prepare(name, text)
            self._answer(ExecStatus.COMMAND_OK)
            known.add(name)
        low.send_query_prepared(name, values)
        return self._answer(ExecStatus.TUPLES_OK)

    def _answer(self, expected: ExecStatus) -> PGresult:
        result: PGresult = self._connection.wait(generators.execute(self._connection.pgconn))[-1]
        if result.status != expected:
            raise errors.error_from_result(result)
        return result


@cache
def _numbered(query: str) -> tuple[bytes, bytes, tuple[str, ...]]:
    """The name under which it is prepared, the text with `$1` for `%(name)s`, the names in the order of the numbers."""
    places = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    number = {place: f"${index}" for index, place in enumerate(places, 1)}
    text = _PARAMETER.sub(lambda found: number[found[1]], query)
    return f"opsched_{next(_numbers)}".encode(), text.encode(), places


def _as_text(value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} is neither text nor a whole number")
    text = str(value).encode()
    if 0 in text:
        raise psycopg.DataError(
            "PostgreSQL text fields cannot contain NUL (0x00) bytes"
        )  # it would end there
    return text
