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


@pytest.fixture
def idle(bell: Bell, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A bell whose thread waits, connected, and may ring again; what the thread itself rings from now on."""
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    eventually(lambda: bell._idle)
    bell._rang.clear()
    real, told = bell._ring, list[list[str]]()

    def by_the_thread(channels: list[str]) -> None:
        told.append(channels)
        real(channels)

    monkeypatch.setattr(bell, "_ring", by_the_thread)
    return told


def test_who_rings_an_idle_bell_sends_by_himself(
    bell: Bell, listener: Listener, idle: list[list[str]]
) -> None:
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    eventually(lambda: bell._idle)
    assert idle == []


def test_a_ring_on_a_broken_connection_is_made_up_for(
    bell: Bell, listener: Listener, idle: list[list[str]], connect: Connect
) -> None:
    cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'opsched doorbell'"
    connect().execute(cut)
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    assert idle == [[CHANNEL]]


def test_a_ring_that_was_refused_is_made_up_for(
    bell: Bell, listener: Listener, idle: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bell._connection is not None
    bell._connection.execute("SET default_transaction_read_only = on")
    monkeypatch.setattr(doorbell, "_NOTIFY", b"CREATE TABLE no_such_right_here () -- ")
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    assert idle == [[CHANNEL]]


def test_nobody_who_rings_waits_for_an_answer(
    bell: Bell, listener: Listener, idle: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's NOTIFY may hold the lock of all of them for as long as it likes."""
    answered, real = threading.Event(), bell._was_heard

    def late() -> bool:
        answered.wait(10)
        return real()

    monkeypatch.setattr(bell, "_was_heard", late)
    bell.ring(CHANNEL)
    assert listener.wait(5) == {CHANNEL}
    for _ in range(3):
        bell.ring(CHANNEL)
    assert bell._pending == {CHANNEL}
    answered.set()
    assert listener.wait(5) == {CHANNEL}
    assert idle == [[CHANNEL]]


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
