"""The seam between replay and live, and buffers that are bounded: in one process, with a real tailer."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import psycopg
import pytest

from notifications import bus, upkeep
from notifications.connections import Connection, Identity
from notifications.envelope import control
from notifications.epoch import state
from notifications.errors import LogNotReady
from notifications.hub import Hub
from notifications.log import EventDraft, append, read_after
from notifications.subscription import subscribe
from notifications.tailer import Tailer
from notifications.threads import in_thread
from notifications.ticker import Ticker
from tests.support import eventually

Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]
TOPICS = [f"test:{n}" for n in range(4)]


@pytest.fixture
def tailer() -> Iterator[Tailer]:
    one = Tailer()
    yield one
    one.stop()


@pytest.fixture
def ticking(transactional_db: None) -> Iterator[None]:
    one = Ticker()
    one.start()
    yield
    one.stop()


@pytest.fixture(autouse=True)
def _checked_by_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The users of these tests exist in no table."""
    monkeypatch.setattr(
        "notifications.access.recheck", lambda held, everything=False: [h.identity for h in held]
    )


def _connection(limit: int = 1_000_000) -> Connection:
    return Connection(identity=Identity(user_id=1, fingerprint=()), protocol="ws", limit=limit)


@contextmanager
def _writing(connect: Connect, padding: int = 0) -> Iterator[threading.Event]:
    """Three writers with transactions of random length, until the event is set or the block ends."""
    stop = threading.Event()

    def write(writer: psycopg.Connection[Any], number: int) -> None:
        chance, n = random.Random(number), 0
        while not stop.wait(chance.random() * 0.004):
            topics = tuple(chance.sample(TOPICS, 2))
            payload = {"n": n, "w": number, "p": "x" * padding}
            append(writer.cursor(), [EventDraft(kind="test.happened", topics=topics, payload=payload)])
            if chance.random() < 0.8:
                writer.commit()
            n += 1
        writer.commit()

    threads = [threading.Thread(target=write, args=(connect(autocommit=False), n)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join()


async def _positions(stream: AsyncIterator[list[bytes]], count: int) -> list[str]:
    found: list[str] = []
    async for frames in stream:
        said = [json.loads(frame) for frame in frames]
        assert all(frame["type"] in {"event", "subscribed"} for frame in said), said
        found += [frame["position"] for frame in said if frame["type"] == "event"]
        if len(found) >= count:
            break
    assert len(found) >= count, "the stream ended"
    return found


def _logged(topics: frozenset[str], after: str | None) -> list[str]:
    found: list[str] = []
    while True:
        page = read_after(after, topics, 1000)
        found += [str(event.position) for event in page.events]
        after = str(page.position)
        if not page.more:
            return found


async def test_subscribe_note_the_mark_replay_to_it_go_live(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    """While events pour in, forty subscribers join from random places: each gets the log from there, exactly."""
    hub = Hub(tailer, upkeep.run)
    chance = random.Random(3)

    async def follow(after: str) -> None:
        connection = _connection()
        topics = frozenset(chance.sample(TOPICS, chance.randrange(1, 4)))
        hub.enter(connection)
        async with aclosing(subscribe(hub, connection, topics, after)) as stream:
            got = await _positions(stream, 150)
        hub.leave(connection)
        expected = await in_thread(_logged, topics, after)
        assert got == expected[: len(got)]

    with _writing(connect):
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            known = await in_thread(eventually, lambda: _logged(frozenset(TOPICS), None))
            for _ in range(40):
                group.create_task(follow(chance.choice(known)))
                await asyncio.sleep(0.02)
                known = await in_thread(_logged, frozenset(TOPICS), None)


async def test_a_loop_that_is_rounds_behind_loses_nothing_at_the_seam(
    publish: Callable[..., None], tailer: Tailer, ticker: Ticker
) -> None:
    """The tailer hands the mark over and goes on reading before the loop has taken it."""
    hub, connection = Hub(tailer, upkeep.run), _connection()
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
    assert got == await in_thread(_logged, frozenset(["test:1"]), str(mark))
    assert len(got) == 2, "the mark is where the first round began to read"
    hub.leave(connection)


async def test_emptied_tables_do_not_end_the_tailer(
    connect: Connect, tailer: Tailer, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were emptied between its look and its beginning the log again."""
    answers: list[Exception] = [LogNotReady("emptied")] * 3
    monkeypatch.setattr("notifications.tailer.state", _after(answers, state))
    hub, connection = Hub(tailer, upkeep.run), _connection()
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
    hub, connection = Hub(tailer, upkeep.run), _connection()
    hub.enter(connection)
    async with aclosing(subscribe(hub, connection, frozenset(TOPICS), None)) as stream:
        begin = json.loads((await asyncio.wait_for(anext(stream), 10))[0])["position"]
        with _writing(connect):
            for _ in range(3):
                errors.append(ZeroDivisionError("a bug"))
                await in_thread(eventually, lambda: not errors)
                async with asyncio.timeout(20):
                    got = await _positions(stream, 50)
                expected = await in_thread(_logged, frozenset(TOPICS), begin)
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


async def test_a_client_ahead_of_this_process_gets_nothing_twice(
    connect: Connect, tailer: Tailer, ticker: Ticker
) -> None:
    """It comes from a process whose tailer was faster; this one delivers late what the client has seen already."""
    hub, writer = Hub(tailer, upkeep.run), connect()
    draft = [EventDraft(kind="test.happened", topics=("test:1",), payload={})]
    await in_thread(ticker.tick)
    early, late = _connection(), _connection()
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
        known = await in_thread(_logged, topics, None)
        hub.enter(late)
        joining = asyncio.create_task(_positions(subscribe(hub, late, topics, known[1]), 1))
        await asyncio.sleep(0.1)
        # The mark is noted where the slow tailer stands: before what the client has seen.
        gate.set()
        assert await asyncio.wait_for(joining, 10) == [known[2]]
        assert await asyncio.wait_for(_positions(first, 3), 10) == known
    hub.leave(early)
    hub.leave(late)


async def test_a_slow_consumer_is_closed_and_the_others_get_everything(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    hub = Hub(tailer, upkeep.run)
    slow, quick = _connection(limit=65_536), _connection()
    topics = frozenset(TOPICS)
    for connection in (slow, quick):
        hub.enter(connection)
    async with (
        aclosing(subscribe(hub, slow, topics, None)) as stuck,
        aclosing(subscribe(hub, quick, topics, None)) as stream,
    ):
        begin = json.loads((await anext(stream))[0])["position"]
        await anext(stuck)
        with _writing(connect, padding=2000):
            async with asyncio.timeout(20):
                got = await _positions(stream, 300)
        assert slow.closed == "slow"
        assert slow.size == 0
        assert [frames async for frames in stuck] == []
        assert got == (await in_thread(_logged, topics, begin))[: len(got)]
    hub.leave(slow)
    hub.leave(quick)


async def test_a_replay_that_would_be_too_long_is_reset(
    connect: Connect, tailer: Tailer, ticker: Ticker, settings: Any
) -> None:
    settings.OPSCHED = {"EVENTS": {"REPLAY_ROWS": 5}}
    hub, connection, writer = Hub(tailer, upkeep.run), _connection(), connect()
    for n in range(8):
        append(writer.cursor(), [EventDraft(kind="test.happened", topics=("test:1",), payload={"n": n})])
        ticker.tick()
    topics = frozenset(["test:1"])
    known = await in_thread(_logged, topics, None)
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
    listeners = [_connection() for _ in range(5)]
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
    hub, connection = Hub(tailer, upkeep.run), _connection()
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


async def test_the_tailer_survives_the_loss_of_its_connections(
    connect: Connect, tailer: Tailer, ticking: None
) -> None:
    hub, connection, writer = Hub(tailer, upkeep.run), _connection(), connect()
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
            assert len(await _positions(stream, 3)) == 3
    hub.leave(connection)


def test_control_frames_are_the_same_facts_in_both_protocols() -> None:
    assert control("ws", "reset", why="x") == b'{"type":"reset","why":"x"}'
    assert control("sse", "reset", why="x") == b'event: reset\ndata: {"why":"x"}\n\n'
