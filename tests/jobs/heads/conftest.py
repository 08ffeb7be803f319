"""Looks that take as long as the test says, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

import jobs
from jobs import JobSpec, heads
from jobs.database import django_cursor
from jobs.heads import LOOKS, Heads
from jobs.store import statements
from tests.jobs import kinds  # noqa: F401 - registers the kinds

KINDS = ["test.echo", "test.async"]


class Clock:
    """The time that looks take is said by the test."""

    now = 1000.0
    takes = 0.0
    short = 0.001
    """From where they began."""

    most = 100.0
    """The statement timeout."""

    def look(self, cursor: Any, name: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        takes = self.takes if name == "ready_heads" else self.short
        self.now += min(takes, self.most)
        if takes > self.most:
            raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
        return statements.rows(cursor, name, params)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(heads, "time", SimpleNamespace(monotonic=lambda: one.now))
    monkeypatch.setattr(heads, "rows", one.look)
    return one


@pytest.fixture
def seen(clock: Clock, transactional_db: None) -> Iterator[Callable[[], list[int]]]:
    """The ids that a look finds, lane by lane."""
    looks = Heads(queues=["test"], kinds=KINDS)
    with django_cursor() as cursor:

        def look(*, onward: bool = False) -> list[int]:
            return [job for _, _, ids, _, _ in looks.read(cursor, 10, onward=onward) for job in ids]

        look.looks = looks  # type: ignore[attr-defined]
        yield look


@pytest.fixture
def looks(seen: Any) -> Heads:
    found: Heads = seen.looks
    return found


def submit(*priorities: int, kind: str = "test.echo") -> list[int]:
    specs = [JobSpec(kind=kind, priority=priority, queue="test") for priority in priorities]
    return [one.id for one in jobs.submit_many(specs)]


def slow_down(clock: Clock, seen: Callable[[], list[int]], seconds: float = 0.02) -> None:
    """The last few looks took so long."""
    clock.takes = seconds
    for _ in range(LOOKS):
        seen()
