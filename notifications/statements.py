"""Loads the SQL files. One statement per file, named parameters as %(name)s; Django's and psycopg's cursors run them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, LiteralString, Protocol, cast

__all__ = ["SqlCursor", "statement"]

_FOLDER = Path(__file__).parent / "sql"


class SqlCursor(Protocol):
    """What Django's cursors, psycopg's cursors and nothing more have in common."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Any: ...


@cache
def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, which is part of the program and therefore trusted."""
    return cast("LiteralString", (_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
