"""Server-sent events as a client meets them: over HTTP, from a real Daphne."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from httpx_sse import ServerSentEvent
from rest_framework.authtoken.models import Token

from notifications import doorbell
from notifications.log import EventDraft, append
from tests.notifications.daphne import Daphne, Person, person, run_daphne
from tests.support import eventually

Publish = Callable[..., None]
Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]

REVOKED_WITHIN = 5.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


@pytest.fixture
def ada(transactional_db: None) -> Person:
    return person()


def _next(events: Iterator[ServerSentEvent], kind: str = "test.happened") -> ServerSentEvent:
    return next(event for event in events if event.event == kind)


def _numbers(events: Iterator[ServerSentEvent], count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found.append(json.loads(_next(events).data)["data"]["n"])
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
        event = _next(events)
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
        last = _next(events).id
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
        assert any(_next(events, "position").id != first.id for _ in range(8))
    address = f"{daphne.url}/notifications/stream?topics=test:quiet"
    with httpx.stream("GET", address, headers=ada.by_token) as response:
        assert ": ping" in response.iter_lines()


def test_what_cannot_be_resumed_is_reset_and_goes_on_live(
    daphne: Daphne, ada: Person, publish: Publish
) -> None:
    with daphne.stream(ada.by_token, last="ffffffff-1-1-0") as events:
        reset = _next(events, "reset")
        assert json.loads(reset.data)["position"] == reset.id
        publish(n=1)
        assert _numbers(events, 1) == [1]


def test_a_payload_cannot_forge_an_event(daphne: Daphne, ada: Person, publish: Publish) -> None:
    evil = 'x\r\n\r\nid: 1\nevent: forged\ndata: {"n": -1}\n\n\x00\u2028\ud800'
    with daphne.stream(ada.by_token) as events:
        next(events)
        publish(n=1, evil=evil)
        publish(n=2)
        first = _next(events)
        assert json.loads(first.data)["data"]["evil"] == evil
        assert [event.event for event in (next(events),)] == ["test.happened"]


def test_figures_are_pushed_without_a_position(daphne: Daphne, ada: Person) -> None:
    with daphne.stream(ada.by_token, "test:figures") as events:
        subscribed = next(events)
        figures = [_next(events, "test:figures") for _ in range(2)]
    assert [json.loads(f.data)["data"] for f in figures] == [{"answer": 42}] * 2
    assert json.loads(figures[0].data)["position"] is None
    # Without an id of its own the reader keeps the last one.
    assert figures[0].id == subscribed.id


REFUSALS: list[tuple[dict[str, Any], int]] = [
    ({"headers": {}}, 401),
    ({"headers": {"Authorization": "Token wrong"}}, 401),
    ({"headers": {"Authorization": "Basic YTpi"}}, 401),
    ({"headers": {"Cookie": "sessionid=wrong"}}, 401),
    ({"topics": "secret:1"}, 403),
    ({"topics": "unknown"}, 403),
    ({"topics": ""}, 400),
    ({"topics": "a b"}, 400),
    ({"topics": ",".join(f"test:{n}" for n in range(51))}, 400),
]


def test_refusals_are_problems_with_a_reason(daphne: Daphne, ada: Person) -> None:
    for change, status in REFUSALS:
        response = daphne.get(**{"headers": ada.by_token, **change})
        assert response.status_code == status, change
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status
        if status == 403:
            assert change["topics"] in problem["detail"]


def test_a_flood_of_parameters_is_refused_like_bad_topics(daphne: Daphne, ada: Person) -> None:
    address = f"{daphne.url}/notifications/stream?topics=test:1" + "&a=1" * 200
    response = httpx.get(address, headers=ada.by_token)
    assert response.status_code == 400
    assert "200 parameters" in response.json()["detail"]


def test_a_stream_is_only_read(daphne: Daphne, ada: Person) -> None:
    for method in ("HEAD", "POST", "DELETE"):
        address = f"{daphne.url}/notifications/stream?topics=test:1"
        response = httpx.request(method, address, headers=ada.by_token)
        assert response.status_code == 405
        assert response.headers["allow"] == "GET"


def test_an_inactive_user_is_not_let_in(daphne: Daphne, ada: Person) -> None:
    get_user_model().objects.update(is_active=False)
    assert daphne.get(headers=ada.by_token).status_code == 401
    assert daphne.get(headers=ada.by_session).status_code == 401


def test_a_closed_client_leaves_the_registry_within_a_second(daphne: Daphne, ada: Person) -> None:
    with daphne.stream(ada.by_token) as events:
        next(events)
        assert daphne.registry()["connections"] == 1
    eventually(lambda: daphne.registry()["connections"] == 0, timeout=1.0)


def _may(user: Any) -> None:
    group = Group.objects.create(name=user.username)
    group.permissions.add(Permission.objects.get(codename="view_group"))
    user.groups.add(group)


def _lose_permission(ada: Person) -> None:
    Group.objects.get(name=ada.user.username).permissions.clear()


def _log_out(ada: Person) -> None:
    Session.objects.filter(pk=ada.session).delete()


def _change_password(ada: Person) -> None:
    ada.user.set_password("another")
    ada.user.save()


def _deactivate(ada: Person) -> None:
    get_user_model().objects.filter(pk=ada.user.pk).update(is_active=False)


def _drop_token(ada: Person) -> None:
    Token.objects.filter(key=ada.token).delete()


REVOCATIONS: list[tuple[str, Callable[[Person], None]]] = [
    ("by_session", _log_out),
    ("by_session", _change_password),
    ("by_session", _lose_permission),
    ("by_token", _deactivate),
    ("by_token", _drop_token),
    ("by_token", _lose_permission),
]


def test_revoked_means_revoked_within_five_seconds(
    daphne: Daphne, transactional_db: None, stack: ExitStack
) -> None:
    """In each of six ways; and nobody else loses a stream by it."""
    other = person("other", is_superuser=True)
    theirs = stack.enter_context(daphne.stream(other.by_token, "secret:1,test:figures"))
    cases = []
    for number, (how, revoke) in enumerate(REVOCATIONS):
        one = person(f"user{number}")
        _may(one.user)
        events = stack.enter_context(daphne.stream(getattr(one, how), "secret:1"))
        assert next(events).event == "subscribed"
        cases.append((one, revoke, events))
    assert daphne.registry()["connections"] == len(cases) + 1
    begun = time.monotonic()
    for one, revoke, _ in cases:
        revoke(one)
    for _, _, events in cases:
        assert {event.event for event in events} <= {"position"}
    assert time.monotonic() - begun < REVOKED_WITHIN
    assert daphne.registry()["connections"] == 1
    assert _next(theirs, "test:figures").data


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
