"""Every loop starts, stops and dies the same way: stop is idempotent and works before start, a bug is told loudly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import OperationalError

from jobs.executor import Executor
from jobs.loop import Loop
from jobs.maintenance import Heartbeat, Reporter, Rescuer
from jobs.registry import registry
from jobs.retention import Janitor
from notifications.ticker import Ticker
from tests.support import eventually


class Counting(Loop):
    """Counts its rounds; raises what it is told to."""

    def __init__(self, on_death: Callable[[str, BaseException], None], *, interval: float = 0.001) -> None:
        super().__init__(name="counting", interval=interval, on_death=on_death)
        self.rounds = 0
        self.connected = 0
        self.errors: list[BaseException] = []

    def tick(self) -> int:
        self.rounds += 1
        if self.errors:
            raise self.errors.pop(0)
        return 1

    def connected_anew(self) -> None:
        self.connected += 1


@pytest.fixture
def deaths() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def loop(deaths: list[tuple[str, BaseException]]) -> Any:
    made = Counting(lambda name, error: deaths.append((name, error)))
    yield made
    made.stop()


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_it_ticks_until_it_is_stopped_and_stop_returns_when_it_has(loop: Counting, deaths: Any) -> None:
    loop.start()
    eventually(lambda: loop.rounds > 3)
    loop.stop()
    assert threads("opsched-counting") == []
    rounds = loop.rounds
    loop.stop()
    assert loop.rounds == rounds
    assert deaths == []


def test_starting_twice_is_one_thread(loop: Counting) -> None:
    loop.start()
    loop.start()
    assert len(threads("opsched-counting")) == 1


def test_a_stop_before_the_start_holds(loop: Counting) -> None:
    loop.stop()
    loop.start()
    assert threads("opsched-counting") == []
    assert loop.rounds == 0


def test_stop_ends_a_long_wait_at_once(deaths: Any) -> None:
    loop = Counting(lambda *one: deaths.append(one), interval=600)
    loop.start()
    eventually(lambda: loop.rounds == 1)
    loop.stop(timeout=2)
    assert threads("opsched-counting") == []


@pytest.mark.parametrize("error", [psycopg.OperationalError("gone\nmore"), OperationalError("")])
def test_a_database_that_went_away_is_waited_for(loop: Counting, deaths: Any, error: Exception) -> None:
    loop.errors = [error, type(error)("again")]
    loop.start()
    eventually(lambda: loop.rounds > 4)
    assert deaths == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(1)])
def test_a_bug_ends_the_loop_and_is_told(
    loop: Counting,
    deaths: list[tuple[str, BaseException]],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop.errors = [error]
    loop.start()
    eventually(lambda: deaths and not threads("opsched-counting"))
    assert deaths == [("counting", error)]
    assert loop.rounds == 1
    assert "counting ended by an error" in caplog.text
    loop.stop()


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_is_told_of(loop: Counting) -> None:
    first = loop.connection
    assert loop.connection is first
    assert loop.connected == 1
    first.close()
    assert loop.connection is not first
    assert loop.connected == 2


# -- the loops there are -----------------------------------------------------------------------------------------------


def made(kind: str, on_death: Any) -> Any:
    executor = Executor(registry=registry, concurrency=1, wake=lambda: None)
    match kind:
        case "heartbeat":
            return Heartbeat(
                worker_id=lambda: 0,
                executor=executor,
                stats=dict,
                draining=lambda: False,
                on_lost=lambda _: None,
                on_death=on_death,
            )
        case "rescue":
            return Rescuer(on_death=on_death)
        case "report":
            return Reporter(executor=executor, on_death=on_death)
        case "janitor":
            return Janitor(on_death=on_death)
        case _:
            return Ticker()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["heartbeat", "rescue", "report", "janitor", "ticker"])
def test_every_loop_can_be_started_and_stopped_in_any_order(kind: str) -> None:
    """In the end no thread is left and nothing has died, however short its life was."""
    deaths: list[Any] = []
    before = threading.active_count()
    for order in ("start stop", "stop start stop", "start start stop stop", "start stop start stop", "stop"):
        loop = made(kind, lambda *one: deaths.append(one))
        for word in order.split():
            getattr(loop, word)()
    assert deaths == []
    eventually(lambda: threading.active_count() <= before)
