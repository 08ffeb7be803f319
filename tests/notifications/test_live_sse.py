"""Server-sent events as a client meets them: over HTTP, from a real Daphne."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent

from notifications import doorbell
from notifications.log import EventDraft, append
from tests.notifications.conftest import Connect
from tests.notifications.daphne import Daphne, Person, next_event, run_daphne
from tests.support import eventually

Publish = Callable[..., None]


def _numbers(events: Iterator[ServerSentEvent], count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found.append(json.loads(next_event(events).data)["data"]["n"])
    return found


def test_a_stream_has_the_right_head_and_says_where_it_begins(daphne: Daphne, ada: Person) -> None:
    address = f"{daphne.url}/notifications/stream?topics=test:1&topics=test:2"
    with httpx.stream("GET", address, headers=ada.by_session) as response:
        head = response.headers
        assert head["content-type"] == "text/event-stream"
        assert head["cache-control"] == "no-store"
        assert head["x-accel-buffering"] == "no"
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"
        assert next(lines).startswith("id: ")
        assert next(lines) == "event: subscribed"
        assert json.loads(next(lines).removeprefix("data: "))["topics"] == ["test:1", "test:2"]


def test_an_event_arrives_with_its_position(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with daphne.stream(ada.by_token) as events:
        assert next(events).event == "subscribed"
        publish(n=7)
        doorbell.ring("opsched_events")
        event = next_event(events)
    said = json.loads(event.data)
    assert said.pop("at").endswith("Z")
    assert said == {"position": event.id, "kind": "test.happened", "topics": ["test:1"], "data": {"n": 7}}


def test_only_the_topics_asked_for_arrive(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with daphne.stream(ada.by_token, "test:2") as events:
        next(events)
        publish("test:1", n=1)
        publish("test:2", n=2)
        assert _numbers(events, 1) == [2]


@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_stream_resumes_behind_the_last_event_seen(
    daphne: Daphne, ada: Person, publish: Publish, how: str
) -> None:
    with daphne.stream(ada.by_token) as events:
        next(events)
        for n in range(3):
            publish(n=n)
        _numbers(events, 1)
        last = next_event(events).id
    for n in range(3, 6):
        publish(n=n)
    topics, header = ("test:1", last) if how == "header" else (f"test:1&last_event_id={last}", None)
    if how == "parameter":
        address = f"{daphne.url}/notifications/stream?topics={topics}"
        with httpx.stream("GET", address, headers=ada.by_token) as response:
            lines = (line for line in response.iter_lines() if '"n":' in line)
            assert [json.loads(next(lines)[6:])["data"]["n"] for _ in range(4)] == [2, 3, 4, 5]
        return
    with daphne.stream(ada.by_token, topics, header) as events:
        assert _numbers(events, 4) == [2, 3, 4, 5]


def test_the_position_of_a_silent_stream_moves_on(daphne: Daphne, ada: Person, publish: Publish) -> None:
    """By its pings: or a listener of a quiet topic would have to replay everybody else's events."""
    with daphne.stream(ada.by_token, "test:quiet") as events:
        first = next(events)
        publish("test:loud")
        # A ping may come before the tick that the loud event needs; one of the next has moved.
        assert any(next_event(events, "position").id != first.id for _ in range(8))
    address = f"{daphne.url}/notifications/stream?topics=test:quiet"
    with httpx.stream("GET", address, headers=ada.by_token) as response:
        assert ": ping" in response.iter_lines()


def test_what_cannot_be_resumed_is_reset_and_goes_on_live(
    daphne: Daphne, ada: Person, publish: Publish
) -> None:
    with daphne.stream(ada.by_token, last="ffffffff-1-1-0") as events:
        reset = next_event(events, "reset")
        assert json.loads(reset.data)["position"] == reset.id
        publish(n=1)
        assert _numbers(events, 1) == [1]


def test_a_payload_cannot_forge_an_event(daphne: Daphne, ada: Person, publish: Publish) -> None:
    evil = 'x\r\n\r\nid: 1\nevent: forged\ndata: {"n": -1}\n\n\x00\u2028\ud800'
    with daphne.stream(ada.by_token) as events:
        next(events)
        publish(n=1, evil=evil)
        publish(n=2)
        first = next_event(events)
        assert json.loads(first.data)["data"]["evil"] == evil
        assert [event.event for event in (next(events),)] == ["test.happened"]


def test_figures_are_pushed_without_a_position(daphne: Daphne, ada: Person) -> None:
    with daphne.stream(ada.by_token, "test:figures") as events:
        subscribed = next(events)
        figures = [next_event(events, "test:figures") for _ in range(2)]
    assert [json.loads(f.data)["data"] for f in figures] == [{"answer": 42}] * 2
    assert json.loads(figures[0].data)["position"] is None
    # Without an id of its own the reader keeps the last one.
    assert figures[0].id == subscribed.id


def test_a_closed_client_leaves_the_registry_within_a_second(daphne: Daphne, ada: Person) -> None:
    with daphne.stream(ada.by_token) as events:
        next(events)
        assert daphne.registry()["connections"] == 1
    eventually(lambda: daphne.registry()["connections"] == 0, timeout=1.0)


@pytest.fixture
def flood(stack: ExitStack) -> Callable[[Any, int], None]:
    """flood(connection, 300): so many events of 10 kB, written beside the test, which reads them meanwhile."""

    def begin(writer: Any, count: int) -> None:
        def write() -> None:
            for n in range(0, count, 10):
                drafts = [
                    EventDraft(
                        kind="test.happened", topics=("test:1",), payload={"n": n + i, "p": "x" * 10_000}
                    )
                    for i in range(10)
                ]
                append(writer.cursor(), drafts)

        thread = threading.Thread(target=write)
        thread.start()
        stack.callback(thread.join)

    return begin


def test_a_reader_that_stops_is_cut_off_and_nobody_else_notices(
    daphne: Daphne, ada: Person, connect: Connect, stack: ExitStack, flood: Callable[[Any, int], None]
) -> None:
    """It costs the server no more than its buffer; the others get everything."""
    # What the process keeps from its first flood is not the reader's.
    with daphne.stream(ada.by_token) as events:
        next(events)
        flood(connect(), 300)
        assert _numbers(events, 300) == list(range(300))
    before = daphne.registry()["resident"]
    stopped = stack.enter_context(socket.create_connection(("127.0.0.1", daphne.port)))
    stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = "GET /notifications/stream?topics=test:1 HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Token {ada.token}\r\n\r\n"
    stopped.sendall(head.encode())
    count = 2000
    with daphne.stream(ada.by_token) as events:
        next(events)
        eventually(lambda: daphne.registry()["connections"] == 2)
        flood(connect(), count)
        assert _numbers(events, count) == list(range(count))
        eventually(lambda: daphne.registry()["connections"] == 1, timeout=15)
    # 20 MB went by.
    assert daphne.registry()["resident"] - before < 12_000_000


def test_kill_9_of_the_server_leaves_no_hole(ada: Person, publish: Publish, stack: ExitStack) -> None:
    """The client resumes at another process with what it saw last, while events go on."""
    got: list[int] = []
    last, count = None, 0
    begin, stop = threading.Event(), threading.Event()

    def write() -> None:
        nonlocal count
        begin.wait(30)
        while not stop.wait(0.01):
            publish(n=count)
            count += 1

    thread = threading.Thread(target=write)
    thread.start()
    # Whatever fails: the writer ends before its connection does.
    stack.callback(thread.join)
    stack.callback(stop.set)
    for _ in range(2):
        with run_daphne() as one, one.stream(ada.by_token, last=last) as events:
            if last is None:
                next(events)
                begin.set()
            target = len(got) + 100
            while len(got) < target:
                event = next(events)
                assert event.event != "reset"
                last = event.id
                if event.event == "test.happened":
                    got.append(json.loads(event.data)["data"]["n"])
            one.kill()
    assert got == list(range(200))
