"""The tailer goes on, and its subscribers miss nothing: tables were emptied, a bug ended it, connections were lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from notifications import upkeep
from notifications.epoch import state
from notifications.errors import LogNotReady
from notifications.hub import Hub
from notifications.log import EventDraft, append
from notifications.subscription import subscribe
from notifications.tailer import Tailer
from notifications.threads import in_thread
from tests.notifications.conftest import Connect
from tests.notifications.following import TOPICS, logged, positions, subscriber, writing
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("nobody_is_rechecked")


async def test_emptied_tables_do_not_end_the_tailer(
    connect: Connect, tailer: Tailer, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were emptied between its look and its beginning the log again."""
    answers: list[Exception] = [LogNotReady("emptied")] * 3
    monkeypatch.setattr("notifications.tailer.state", _after(answers, state))
    hub, connection = Hub(tailer, upkeep.run), subscriber()
    hub.enter(connection)
    async with aclosing(subscribe(hub, connection, frozenset(["test:1"]), None)) as stream:
        assert json.loads((await asyncio.wait_for(anext(stream), 10))[0])["type"] == "subscribed"
    assert not answers
    hub.leave(connection)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_that_ends_the_tailer_leaves_no_hole(
    connect: Connect, tailer: Tailer, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = []
    monkeypatch.setattr(tailer, "_read", _after(errors, tailer._read))
    hub, connection = Hub(tailer, upkeep.run), subscriber()
    hub.enter(connection)
    async with aclosing(subscribe(hub, connection, frozenset(TOPICS), None)) as stream:
        begin = json.loads((await asyncio.wait_for(anext(stream), 10))[0])["position"]
        with writing(connect):
            for _ in range(3):
                errors.append(ZeroDivisionError("a bug"))
                await in_thread(eventually, lambda: not errors)
                async with asyncio.timeout(20):
                    got = await positions(stream, 50)
                expected = await in_thread(logged, frozenset(TOPICS), begin)
                assert got == expected[: len(got)]
                begin = got[-1]
    hub.leave(connection)


def _after(errors: list[Exception], work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, which first raises each of the errors."""

    def one(*args: Any) -> Any:
        if errors:
            raise errors.pop()
        return work(*args)

    return one


async def test_the_tailer_survives_the_loss_of_its_connections(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    hub, connection, writer = Hub(tailer, upkeep.run), subscriber(), connect()
    draft = [EventDraft(kind="test.happened", topics=("test:1",), payload={})]
    hub.enter(connection)
    async with aclosing(subscribe(hub, connection, frozenset(["test:1"]), None)) as stream:
        await anext(stream)
        writer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'opsched tailer%'"
        )
        for _ in range(3):
            append(writer.cursor(), draft)
        async with asyncio.timeout(10):
            assert len(await positions(stream, 3)) == 3
    hub.leave(connection)
