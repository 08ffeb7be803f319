"""Every write statement that reaches the database through the proxy can be made to fail, one at a time.

`before`: the backend ends in place of the statement. `after commit`: the transaction that the statement belongs to
commits, and the answer never arrives. Nothing of the product is replaced: the driver sees what it sees when a server
or a network fails.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from jobs.lean import LeanCursor
from tests.support_proxy import Proxy

__all__ = ["MODES", "Fault", "Faults", "label_of", "write_statements"]

ROOT = Path(__file__).resolve().parents[2]
MODES = ("before", "after commit")
_WRITES = re.compile(r"\b(INSERT INTO|(?<!FOR )(?<!DO )UPDATE|DELETE FROM)\s+\"?(\w+)")
_END = "SELECT pg_terminate_backend(pg_backend_pid())"


def _without_comments(sql: str) -> str:
    return re.sub(r"--.*", "", sql)


def _files() -> dict[str, str]:
    """Name of each SQL file by its text."""
    folders = (ROOT / "jobs" / "sql", ROOT / "notifications" / "sql")
    return {path.read_text("utf-8"): path.stem for folder in folders for path in sorted(folder.glob("*.sql"))}


_NAMES = _files()


def write_statements() -> set[str]:
    """Names of all files in jobs/sql that change a row."""
    found = {
        path.stem
        for path in (ROOT / "jobs" / "sql").glob("*.sql")
        if _WRITES.search(_without_comments(path.read_text("utf-8")))
    }
    assert len(found) > 30, "the look for write statements finds them no more"
    return found


def label_of(query: Any) -> str | None:
    """The file's name, or verb and table of a statement of Django's; None for what changes no row."""
    if not isinstance(query, str):
        return None
    found = _WRITES.search(_without_comments(query))
    return None if found is None else _NAMES.get(query, f"{found[1]} {found[2]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """At the `occurrence`-th run (from 0) of the statement `label`."""

    label: str
    occurrence: int
    mode: str


class Faults:
    """Counts the writes of each name, and lets one of them fail."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.seen: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.fired = False
        self._cut_before = 0

    @property
    def cuts(self) -> int:
        """How many answers to a commit were swallowed since the watch began."""
        return self._proxy.cut - self._cut_before

    @contextmanager
    def watching(self, fault: Fault | None = None) -> Iterator[None]:
        self.seen.clear()
        self.fault, self.fired, self._cut_before = fault, False, self._proxy.cut
        real = {kind: kind.execute for kind in (psycopg.Cursor, LeanCursor)}
        for kind, execute in real.items():
            kind.execute = self._in_place_of(execute)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for kind, execute in real.items():
                kind.execute = execute  # type: ignore[method-assign]

    def _in_place_of(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
            if label_of(query) is not None and cursor.connection.info.host == self._proxy.host:
                query, params = self._query(cursor, query, params)
            return real(cursor, query, params, **options)

        return execute

    def _query(self, cursor: Any, query: str, params: Any) -> tuple[str, Any]:
        """What is to run in the end; the fault is prepared where it is due."""
        label = label_of(query)
        assert label is not None
        number, fault = self.seen[label], self.fault
        self.seen[label] += 1
        if fault is None or self.fired or (label, number) != (fault.label, fault.occurrence):
            return query, params
        self.fired = True
        if fault.mode == "before":
            return _END, None
        self._proxy.cut_after_commit(cursor.connection.info.backend_pid)
        return query, params
