"""Loads the SQL files: one statement each, parameters as %(name)s, for the cursors of Django and of psycopg."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, LiteralString, Protocol

__all__ = ["SqlCursor", "SqlWriter", "statement"]

_FOLDER = Path(__file__).parent / "sql"


class SqlWriter(Protocol):
    """A cursor of Django or of psycopg, as far as a writer needs it."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...


class SqlCursor(SqlWriter, Protocol):
    """The same for a reader."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Any: ...


@cache
def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, which is part of the program and therefore trusted."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
