"""Who wakes the loop is heard, however many ask and whenever they do."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from notifications.waker import Waker


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def waits(waker: Waker) -> bool:
    return not select.select([waker], [], [], 0)[0]


def test_a_wait_ends_once_for_all_who_asked(waker: Waker) -> None:
    assert waits(waker)
    for _ in range(3):
        waker.wake()
    assert not waits(waker)
    assert waker._awake.recv(16, socket.MSG_PEEK) == b"\0", "those after the first made no call"
    waker.heard()
    assert waits(waker)
    waker.wake()
    assert not waits(waker), "and again for those who ask afterwards"


def test_nothing_that_was_done_before_a_call_goes_unseen(waker: Waker) -> None:
    done = 0
    seen = 0
    rounds = 20_000
    # What is done does not run far ahead of what is seen, so that waits happen.
    turn = threading.Semaphore(64)

    def work() -> None:
        nonlocal done
        for _ in range(rounds):
            turn.acquire()
            done += 1
            waker.wake()

    thread = threading.Thread(target=work)
    thread.start()
    while seen < rounds:
        assert select.select([waker], [], [], 10)[0], f"asleep with {done} done and {seen} seen"
        waker.heard()
        new, seen = done - seen, done
        turn.release(new) if new else None
    thread.join()


class Interrupted:
    """The loop's end of the pair, with a call from another thread just before and just after it is read."""

    def __init__(self, waker: Waker) -> None:
        self._waker, self._end = waker, waker._awake

    def fileno(self) -> int:
        return self._end.fileno()

    def recv(self, size: int) -> bytes:
        self._waker.wake()
        found = self._end.recv(size)
        self._waker.wake()
        return found

    def close(self) -> None:
        self._end.close()


def test_a_call_while_the_loop_is_hearing_spoils_no_later_one(
    waker: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waker, "_awake", Interrupted(waker))
    for _ in range(3):
        waker.wake()
        assert not waits(waker)
        waker.heard()


def test_to_hear_where_nobody_asked_is_no_error_and_spoils_no_later_call(waker: Waker) -> None:
    """A listener does so at each look, whatever ended its wait."""
    for _ in range(2):
        waker.heard()
        assert waits(waker)
        waker.wake()
        assert not waits(waker)
        waker.heard()


def test_to_wake_one_that_has_ended_is_no_error() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
