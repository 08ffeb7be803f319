"""One ticker leads, another takes over, a lost database comes back, and stop works at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from notifications import doorbell
from notifications.listener import Listener
from notifications.log import read_after, state
from notifications.ticker import Ticker
from tests.support import eventually, leading

Publish = Callable[..., None]


def test_no_news_makes_no_tick(ticker: Ticker, publish: Publish) -> None:
    assert ticker.tick().made == 0
    publish()
    assert ticker.tick().made == 1
    assert ticker.tick().made == 0


def test_only_one_leads_and_the_next_takes_over(ticker: Ticker, publish: Publish) -> None:
    second = Ticker()
    try:
        assert ticker.tick().leads
        publish()
        assert second.tick() == second.tick()
        assert not second.leads
        ticker.stop()
        assert eventually(lambda: second.tick().leads)
        assert state(connection.cursor()).newest == 1
    finally:
        second.stop()


def test_stop_works_before_start_and_again_and_again(transactional_db: None) -> None:
    one = Ticker()
    one.stop()
    for _ in range(3):
        one.start()
        one.start()
        one.stop()
        one.stop()
    assert "opsched-ticker" not in {thread.name for thread in threading.enumerate()}


def test_a_ring_makes_a_tick_and_the_tick_rings(transactional_db: None, publish: Publish) -> None:
    one, listener = Ticker(), Listener(["opsched_ticks"])
    listener.fileno()
    one.start()
    try:
        eventually(lambda: one.leads)
        publish()
        doorbell.ring("opsched_events")
        assert listener.wait(5) == {"opsched_ticks"}
        assert len(read_after(None).events) == 1
    finally:
        one.stop()
        listener.close()


def test_a_lost_ring_costs_a_poll_and_nothing_else(transactional_db: None, publish: Publish) -> None:
    one = Ticker()
    one.start()
    try:
        eventually(lambda: one.leads)
        publish()
        eventually(lambda: read_after(None).events, timeout=3)
    finally:
        one.stop()


def test_it_survives_the_loss_of_all_its_connections(
    transactional_db: None, publish: Publish, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    one, killer = Ticker(name="test victim"), connect()
    one.start()
    try:
        names = ["test victim", "opsched ticker listener"]
        theirs = "FROM pg_stat_activity WHERE application_name = ANY (%s)"
        eventually(lambda: killer.execute(f"SELECT count(*) {theirs}", [names]).fetchone() == (2,))
        killer.execute(f"SELECT pg_terminate_backend(pid) {theirs}", [names])
        publish()
        eventually(lambda: read_after(None).events, timeout=5)
        assert eventually(lambda: one.leads)
    finally:
        one.stop()


def test_it_shows_that_it_is_alive_when_nothing_happens(
    ticker: Ticker, connect: Callable[..., psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticker.tick()
    connect().execute("UPDATE notifications_epoch SET ticked_at = ticked_at - interval '1 hour'")
    assert state(connection.cursor()).ticker_age > 3000
    monkeypatch.setattr("notifications.ticker._ALIVE", 0.0)
    ticker.tick()
    assert state(connection.cursor()).ticker_age < 5


@pytest.mark.parametrize(("frozen_after", "led"), [(0.3, True), (0.0, False)], ids=["limited", "control"])
def test_a_frozen_leader_is_followed_by_another(
    make_ticker: Callable[..., Ticker], *, frozen_after: float, led: bool
) -> None:
    """It holds the lock and says nothing more, like a process that was stopped. Without the limit nobody ever leads."""
    frozen, other = make_ticker(frozen_after=frozen_after), make_ticker(frozen_after=60.0)
    leading(frozen)
    assert not other.tick().leads
    if led:
        eventually(lambda: other.tick().leads)
        with pytest.raises(psycopg.OperationalError):
            frozen.tick()
    else:
        with pytest.raises(AssertionError, match="not within"):
            eventually(lambda: other.tick().leads, timeout=1.0)


@pytest.fixture
def make_ticker(transactional_db: None) -> Iterator[Callable[..., Ticker]]:
    made: list[Ticker] = []

    def make(**options: float) -> Ticker:
        made.append(Ticker(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()
