"""The seam between replay and live, buffers that are bounded, figures for all: in one process, with a real tailer."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from notifications import bus, upkeep
from notifications.envelope import control
from notifications.hub import Hub
from notifications.log import EventDraft, append
from notifications.subscription import subscribe
from notifications.tailer import Tailer
from notifications.threads import in_thread
from notifications.ticker import Ticker
from tests.notifications.conftest import Connect
from tests.notifications.following import TOPICS, logged, positions, subscriber, writing
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("nobody_is_rechecked")


async def test_subscribe_note_the_mark_replay_to_it_go_live(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    """While events pour in, forty subscribers join from random places: each gets the log from there, exactly."""
    hub = Hub(tailer, upkeep.run)
    chance = random.Random(3)

    async def follow(after: str) -> None:
        connection = subscriber()
        topics = frozenset(chance.sample(TOPICS, chance.randrange(1, 4)))
        hub.enter(connection)
        async with aclosing(subscribe(hub, connection, topics, after)) as stream:
            got = await positions(stream, 150)
        hub.leave(connection)
        expected = await in_thread(logged, topics, after)
        assert got == expected[: len(got)]

    with writing(connect):
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            known = await in_thread(eventually, lambda: logged(frozenset(TOPICS), None))
            for _ in range(40):
                group.create_task(follow(chance.choice(known)))
                await asyncio.sleep(0.02)
                known = await in_thread(logged, frozenset(TOPICS), None)


async def test_a_loop_that_is_rounds_behind_loses_nothing_at_the_seam(
    publish: Callable[..., None], tailer: Tailer, ticker: Ticker
) -> None:
    """The tailer hands the mark over and goes on reading before the loop has taken it."""
    hub, connection = Hub(tailer, upkeep.run), subscriber()
    tailer.attach = lambda hub: None  # type: ignore[method-assign]  # its rounds are made here
    tailer._hubs.append(hub)
    hub.registry.add(connection)
    await in_thread(ticker.tick)
    joining = asyncio.create_task(hub.join(connection, frozenset(["test:1"])))
    await asyncio.sleep(0)
    for n in range(3):  # no await in here: the loop takes nothing
        publish("test:1", n=n)
        ticker.tick()
        tailer.tick()
    mark = await asyncio.wait_for(joining, 10)
    got = [json.loads(frame)["position"] for frame in await asyncio.wait_for(connection.take(), 10)]
    assert got == await in_thread(logged, frozenset(["test:1"]), str(mark))
    assert len(got) == 2, "the mark is where the first round began to read"
    hub.leave(connection)


async def test_a_client_ahead_of_this_process_gets_nothing_twice(
    connect: Connect, tailer: Tailer, ticker: Ticker
) -> None:
    """It comes from a process whose tailer was faster; this one delivers late what the client has seen already."""
    hub, writer = Hub(tailer, upkeep.run), connect()
    draft = [EventDraft(kind="test.happened", topics=("test:1",), payload={})]
    await in_thread(ticker.tick)
    early, late = subscriber(), subscriber()
    hub.enter(early)
    topics = frozenset(["test:1"])
    async with aclosing(subscribe(hub, early, topics, None)) as first:
        await anext(first)
        read = tailer.tick
        gate = threading.Event()
        tailer.tick = lambda: read() if gate.is_set() else 0  # type: ignore[method-assign]  # the slow process
        for _ in range(3):
            append(writer.cursor(), draft)
            ticker.tick()
        known = await in_thread(logged, topics, None)
        hub.enter(late)
        joining = asyncio.create_task(positions(subscribe(hub, late, topics, known[1]), 1))
        await asyncio.sleep(0.1)
        # The mark is noted where the slow tailer stands: before what the client has seen.
        gate.set()
        assert await asyncio.wait_for(joining, 10) == [known[2]]
        assert await asyncio.wait_for(positions(first, 3), 10) == known
    hub.leave(early)
    hub.leave(late)


async def test_a_slow_consumer_is_closed_and_the_others_get_everything(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    hub = Hub(tailer, upkeep.run)
    slow, quick = subscriber(limit=65_536), subscriber()
    topics = frozenset(TOPICS)
    for connection in (slow, quick):
        hub.enter(connection)
    async with (
        aclosing(subscribe(hub, slow, topics, None)) as stuck,
        aclosing(subscribe(hub, quick, topics, None)) as stream,
    ):
        begin = json.loads((await anext(stream))[0])["position"]
        await anext(stuck)
        with writing(connect, padding=2000):
            async with asyncio.timeout(20):
                got = await positions(stream, 300)
        assert slow.closed == "slow"
        assert slow.size == 0
        assert [frames async for frames in stuck] == []
        assert got == (await in_thread(logged, topics, begin))[: len(got)]
    hub.leave(slow)
    hub.leave(quick)


async def test_a_replay_that_would_be_too_long_is_reset(
    connect: Connect, tailer: Tailer, ticker: Ticker, settings: Any
) -> None:
    settings.OPSCHED = {"EVENTS": {"REPLAY_ROWS": 5}}
    hub, connection, writer = Hub(tailer, upkeep.run), subscriber(), connect()
    for n in range(8):
        append(writer.cursor(), [EventDraft(kind="test.happened", topics=("test:1",), payload={"n": n})])
        ticker.tick()
    topics = frozenset(["test:1"])
    known = await in_thread(logged, topics, None)
    for after, expected in ((known[0], ["subscribed", "reset"]), (known[5], ["subscribed", "event"])):
        hub.enter(connection)
        async with aclosing(subscribe(hub, connection, topics, after)) as stream:
            frames = [await anext(stream) for _ in range(2)]
        assert [json.loads(some[0])["type"] for some in frames] == expected
        hub.leave(connection)


async def test_a_figure_is_computed_once_for_all_and_only_while_somebody_listens(
    tailer: Tailer, transactional_db: None
) -> None:
    calls: list[int] = []
    bus.register_source("test:figure", 0.1, lambda: calls.append(1) or len(calls))  # type: ignore[func-returns-value]
    hub = Hub(tailer, upkeep.run)
    listeners = [subscriber() for _ in range(5)]
    try:
        for connection in listeners:
            hub.enter(connection)
            await hub.join(connection, frozenset(["test:figure"]))
        async with asyncio.timeout(10):
            heard = [json.loads((await c.take())[0]) for c in listeners for _ in range(2)]
        assert len(calls) < len(heard)
        assert {frame["position"] for frame in heard} == {None}
        for connection in listeners:
            hub.leave(connection)
        before = len(calls)
        await asyncio.sleep(0.4)  # nothing must happen in it
        assert len(calls) <= before + 1
    finally:
        bus.unregister_source("test:figure")


async def test_a_source_that_fails_does_not_stop_the_others(
    tailer: Tailer, transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    bus.register_source("test:bad", 0.1, lambda: 1 / 0)
    bus.register_source("test:good", 0.1, lambda: 1)
    hub, connection = Hub(tailer, upkeep.run), subscriber()
    try:
        hub.enter(connection)
        await hub.join(connection, frozenset(["test:bad", "test:good"]))
        async with asyncio.timeout(10):
            for _ in range(3):
                assert json.loads((await connection.take())[0])["kind"] == "test:good"
    finally:
        hub.leave(connection)
        bus.unregister_source("test:bad")
        bus.unregister_source("test:good")
    assert "test:bad failed" in caplog.text


def test_control_frames_are_the_same_facts_in_both_protocols() -> None:
    assert control("ws", "reset", why="x") == b'{"type":"reset","why":"x"}'
    assert control("sse", "reset", why="x") == b'event: reset\ndata: {"why":"x"}\n\n'
