"""Ground for the event log's tests: real commits, connections of their own, and nothing left open behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from notifications import bus, doorbell, pg
from notifications.log import EventDraft, append
from notifications.tailer import Tailer
from notifications.ticker import Ticker
from tests.notifications.daphne import Daphne, Person, person, run_daphne
from tests.support import leading

Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]


@pytest.fixture(autouse=True, scope="session")
def _nothing_stays_open() -> Iterator[None]:
    """Threads give their connections back before the test database is dropped."""
    yield
    bus.close()
    doorbell.close()


@pytest.fixture
def connect(transactional_db: None) -> Iterator[Connect]:
    """Open connections that commit for themselves; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(*, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
            return stack.enter_context(pg.connect(autocommit=autocommit, name="test"))

        yield open_one


@pytest.fixture
def ticker(transactional_db: None) -> Iterator[Ticker]:
    """A ticker whose rounds the test makes."""
    one = leading(Ticker(name="test ticker"))
    yield one
    one.stop()


@pytest.fixture
def publish(connect: Connect) -> Callable[..., None]:
    """Append and commit events, by default one: publish("test:1", n=3)."""
    connection = connect()

    def one(topic: str = "test:1", *, kind: str = "test.happened", **payload: Any) -> None:
        append(connection.cursor(), [EventDraft(kind=kind, topics=(topic,), payload=payload)])

    return one


@pytest.fixture
def ticking(transactional_db: None) -> Iterator[None]:
    """A ticker makes its rounds by itself."""
    one = Ticker()
    one.start()
    yield
    one.stop()


@pytest.fixture
def tailer() -> Iterator[Tailer]:
    one = Tailer()
    yield one
    one.stop()


@pytest.fixture
def nobody_is_rechecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """For users who exist in no table."""
    monkeypatch.setattr(
        "notifications.access.recheck", lambda held, everything=False: [h.identity for h in held]
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


@pytest.fixture
def ada(transactional_db: None) -> Person:
    return person()


@pytest.fixture(scope="module")
def daphne(django_db_setup: None, django_db_blocker: Any) -> Iterator[Daphne]:
    """One for all live tests of a module; it makes the ticks."""
    with django_db_blocker.unblock(), run_daphne() as one:
        yield one
