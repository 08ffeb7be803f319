"""Ground for races: hands that are closed before the tables are emptied, and statements that can be spoilt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.store import statements
from notifications import bus, doorbell
from tests.races.harness import Hand, somebody_waits
from tests.support import eventually


@pytest.fixture(autouse=True, scope="session")
def _nothing_stays_open() -> Iterator[None]:
    """Threads give their connections back before the test database is dropped."""
    yield
    bus.close()
    doorbell.close()


@pytest.fixture
def hand(transactional_db: None) -> Iterator[Callable[..., Hand]]:
    """hand("a") is a worker with a connection of its own."""
    made: list[Hand] = []

    def one(name: str = "hand") -> Hand:
        made.append(Hand(name))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """spoilt("claim", "FOR UPDATE", "") takes a guard out of a statement: the negative control."""
    real = statements.statement
    changed: dict[str, str] = {}

    def spoil(name: str, *replacements: str, whole: str | None = None) -> None:
        text = real(name) if whole is None else whole
        for guard, instead in zip(replacements[::2], replacements[1::2], strict=True):
            assert guard in text, f"{name}.sql has no {guard!r} any more"
            text = text.replace(guard, instead)
        changed[name] = text

    monkeypatch.setattr(statements, "statement", lambda name: changed.get(name) or real(name))
    return spoil


@pytest.fixture
def behind() -> Callable[..., Any]:
    """behind(holder, work): starts `work` in a thread, waits until it waits for a lock, lets `holder()` go, returns
    its result. Whoever loses the race loses it on purpose."""

    def run(release: Callable[[], None], work: Callable[[], Any]) -> Any:
        result: list[Any] = []
        thread = threading.Thread(target=lambda: result.append(work()))
        thread.start()
        eventually(somebody_waits)
        release()
        thread.join(20)
        assert result, "the one behind failed; its error is above"
        return result[0]

    return run
