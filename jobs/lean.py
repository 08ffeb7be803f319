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
_prepared: WeakKeyDictionary[psycopg.Connection[Any], dict[bytes, bytes]] = WeakKeyDictionary()
"""What is prepared on each connection: names by text."""
_OUT_OF_DATE = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)
"""Somebody has said DISCARD ALL; or a migration changed the type of what comes back."""


def is_lean(connection: BaseDatabaseWrapper) -> bool:
    """May a statement go this way? Not in a transaction, which an error would end, and not where none is prepared.

    Without autocommit the driver begins a transaction with the first statement, of which nobody would tell it here.
    """
    connection.close_if_health_check_failed()
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
        self.connection: psycopg.Connection[Any] = connection.connection
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
        text, places = _numbered(query)
        with self._errors, self.connection.lock:
            values = [_as_text(params[place]) for place in places]
            try:
                result = self._run(text, values)
            except _OUT_OF_DATE:
                # Nothing has run, and there is no transaction that it could have ended.
                _prepared[self.connection].pop(text, None)
                result = self._run(text, values)
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

    def _run(self, text: bytes, values: list[bytes | None]) -> PGresult:
        low, names = self.connection.pgconn, _prepared.setdefault(self.connection, {})
        if text not in names:
            # Each time another name: after an interrupt before the answer nobody knows whether this one is taken.
            name = f"opsched_{next(_numbers)}".encode()
            low.send_prepare(name, text)
            self._answer(ExecStatus.COMMAND_OK)
            names[text] = name
        low.send_query_prepared(names[text], values)
        return self._answer(ExecStatus.TUPLES_OK)

    def _answer(self, expected: ExecStatus) -> PGresult:
        result: PGresult = self.connection.wait(generators.execute(self.connection.pgconn))[-1]
        if result.status != expected:
            raise errors.error_from_result(result)
        return result


@cache
def _numbered(query: str) -> tuple[bytes, tuple[str, ...]]:
    """The text with `$1` for `%(name)s`, and the names in the order of the numbers."""
    places = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    number = {place: f"${index}" for index, place in enumerate(places, 1)}
    text = _PARAMETER.sub(lambda found: number[found[1]], query)
    if "%" in text:
        raise ValueError("a percent sign that names no value means something else to the driver's cursor")
    return text.encode(), places


def _as_text(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        text = value.encode()
        if 0 in text:  # it would end there
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return text
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} is neither text nor a whole number")
    return b"%d" % value
