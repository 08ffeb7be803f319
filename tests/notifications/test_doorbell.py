"""Rings are hints: after commit, seldom, the last one guaranteed, and nobody fails when they cannot be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import transaction

from notifications import doorbell, pg
from notifications.doorbell import INTERVAL, Bell, Listener
from tests.support import eventually

Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]
CHANNEL = "opsched_test"


@pytest.fixture
def listener(transactional_db: None) -> Iterator[Listener]:
    one = Listener([CHANNEL], name="test listener")
    one.fileno()
    yield one
    one.close()


@pytest.fixture
def bell(transactional_db: None) -> Iterator[Bell]:
    one = Bell()
    yield one
    one.close()


def test_it_rings_only_after_commit(listener: Listener) -> None:
    with transaction.atomic():
        doorbell.ring(CHANNEL)
        assert listener.wait(0.2) == set()
    assert listener.wait(5) == {CHANNEL}


def test_a_rolled_back_change_does_not_ring(listener: Listener) -> None:
    with transaction.atomic():
        doorbell.ring(CHANNEL)
        transaction.set_rollback(True)
    assert listener.wait(0.2) == set()


def test_no_business_transaction_ever_holds_the_lock_of_notify(listener: Listener, connect: Connect) -> None:
    """While a transaction that asked for a ring is open, another session's NOTIFY commits at once."""
    with transaction.atomic():
        doorbell.ring(CHANNEL)
        other = connect()
        other.execute("SET lock_timeout = '1s'")
        other.execute("SELECT pg_notify('opsched_test', '')")
        assert listener.wait(5) == {CHANNEL}


def test_many_rings_are_few_and_the_last_one_is_not_lost(bell: Bell, connect: Connect) -> None:
    heard: list[float] = []
    ear = connect()
    ear.execute(f"LISTEN {CHANNEL}")
    bell.ring(CHANNEL)
    end = time.monotonic() + 0.5
    last = 0.0
    while time.monotonic() < end:
        last = time.monotonic()
        bell.ring(CHANNEL)
        heard += [time.monotonic() for _ in ear.notifies(timeout=0)]
    heard += [time.monotonic() for _ in ear.notifies(timeout=3 * INTERVAL)]
    assert 2 <= len(heard) <= 0.5 / INTERVAL + 2
    assert heard[-1] >= last


def test_the_first_ring_goes_at_once(bell: Bell, listener: Listener) -> None:
    bell.ring(CHANNEL)
    assert listener.wait(5)
    time.sleep(2 * INTERVAL)  # the interval is the subject
    begun = time.monotonic()
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    assert time.monotonic() - begun < INTERVAL


def test_close_sends_what_is_pending(listener: Listener, bell: Bell) -> None:
    bell.ring(CHANNEL)
    listener.wait(5)
    bell.ring(CHANNEL)
    bell.close()
    bell.close()
    assert listener.wait(5) == {CHANNEL}


def test_an_idle_bell_lets_its_connection_go_before_the_next_ring_can_want_it(
    bell: Bell, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the thread of that ring would be using it."""
    monkeypatch.setattr(doorbell, "_IDLE", 0.0)
    real, turns = bell._disconnect, list[Any]()

    def disconnect() -> None:
        turns.append(bell._thread)
        real()

    monkeypatch.setattr(bell, "_disconnect", disconnect)
    bell.ring(CHANNEL)
    eventually(lambda: bell._thread is None)
    assert len(turns) == 1
    assert turns[0] is not None
    assert listener.wait(5) == {CHANNEL}


def test_a_bell_that_cannot_be_rung_disturbs_nobody(
    bell: Bell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(**kwargs: Any) -> Any:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(pg, "connect", away)
    bell.ring(CHANNEL)
    eventually(lambda: "could not ring" in caplog.text)


@pytest.mark.parametrize("name", ["", "a;b", "A", "ä", "a" * 64])
def test_a_channel_is_a_plain_word(name: str, bell: Bell) -> None:
    with pytest.raises(ValueError, match="channel"):
        bell.ring(name)


def test_a_listener_reconnects_behind_the_same_descriptor(listener: Listener, connect: Connect) -> None:
    before = listener.fileno()
    killer = connect()
    killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test listener'"
    )
    # Reconnected means rung: rings may have been missed.
    assert eventually(lambda: listener.wait(0.1)) == {CHANNEL}
    assert listener.fileno() == before
    killer.execute("SELECT pg_notify('opsched_test', '')")
    assert listener.wait(5) == {CHANNEL}


def test_a_wait_ends_early_when_another_thread_says_so_and_once_for_all_who_did(listener: Listener) -> None:
    caller = threading.Timer(0.1, listener.wake)
    caller.start()
    begun = time.monotonic()
    assert listener.wait(30) == set()
    assert time.monotonic() - begun < 10
    caller.join()
    for _ in range(3):
        listener.wake()
    assert listener.wait(30) == set()
    begun = time.monotonic()
    assert listener.wait(0.2) == set()
    assert time.monotonic() - begun >= 0.2, "woken by a call that was heard before"


def test_to_wake_a_listener_that_was_closed_is_no_error() -> None:
    one = Listener([CHANNEL])
    one.close()
    one.wake()
