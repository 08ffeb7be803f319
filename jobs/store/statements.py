"""Loads the statements of `jobs/sql` and runs them on whatever cursor the caller has (Django's or psycopg's).

The one door to the database for `jobs/store` and `jobs/queries`: parameters are bound by name, rows come back as plain
tuples, so that no driver's value travels further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

__all__ = ["Cursor", "Send", "execute", "rows", "statement"]

_FOLDER = Path(__file__).resolve().parent.parent / "sql"


class Cursor(Protocol):
    """What Django's cursor wrapper and psycopg's cursor have in common."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, query: Any, params: Any = ...) -> Any: ...
    def fetchall(self) -> list[Any]: ...


Send: TypeAlias = Callable[[str, Mapping[str, Any]], Callable[[], list[tuple[Any, ...]]]]
"""Has a statement run with its values, and returns at once what waits for its rows (`jobs.database.pipe`)."""


@cache
def statement(name: str) -> str:
    """The text of `jobs/sql/<name>.sql`."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def execute(cursor: Cursor, name: str, params: Mapping[str, Any]) -> int:
    """Run a statement that returns nothing; the number of rows it changed. In a pipe that is not known: -1."""
    cursor.execute(statement(name), params)
    return cursor.rowcount


def rows(cursor: Cursor, name: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement that returns rows."""
    cursor.execute(statement(name), params)
    return cursor.fetchall()
