"""The WebSocket as a client meets it, from a real Daphne."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from notifications import doorbell
from tests.notifications.daphne import Daphne, Person
from tests.support import eventually

Publish = Callable[..., None]


def _open(daphne: Daphne, who: dict[str, str], origin: str | None = None) -> ClientConnection:
    address = f"ws://127.0.0.1:{daphne.port}/ws/"
    return connect(address, additional_headers=who, origin=origin, open_timeout=10)  # type: ignore[arg-type]


def _say(socket: ClientConnection, **frame: Any) -> None:
    socket.send(json.dumps(frame))


def _hear(socket: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=10))
        if kind is None or frame["type"] == kind:
            return frame


def _code(socket: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    assert socket.close_code is not None
    return socket.close_code


def test_events_arrive_and_a_subscription_resumes(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with _open(daphne, ada.by_session) as socket:
        _say(socket, type="subscribe", topics=["test:1"])
        assert _hear(socket)["type"] == "subscribed"
        publish(n=1)
        doorbell.ring("opsched_events")
        event = _hear(socket)
        assert event.pop("at").endswith("Z")
        position = event.pop("position")
        assert event == {"type": "event", "kind": "test.happened", "topics": ["test:1"], "data": {"n": 1}}
        publish(n=2)
    publish("test:2", n=3)
    with _open(daphne, ada.by_session) as socket:
        _say(socket, type="subscribe", topics=["test:1", "test:2"], after=position)
        assert [_hear(socket, "event")["data"]["n"] for _ in range(2)] == [2, 3]


def test_other_topics_can_be_taken_up_without_a_gap(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="subscribe", topics=["test:1"])
        begin = _hear(socket, "subscribed")["position"]
        publish("test:2", n=1)
        publish("test:1", n=2)
        position = _hear(socket, "event")["position"]
        publish("test:2", n=3)
        _say(socket, type="subscribe", topics=["test:1", "test:2"], after=position)
        assert _hear(socket, "event")["data"]["n"] == 3
        _say(socket, type="subscribe", topics=["test:2"], after=begin)
        assert [_hear(socket, "event")["data"]["n"] for _ in range(2)] == [1, 3]


def test_unsubscribing_ends_the_events(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="subscribe", topics=["test:1", "test:2"])
        _hear(socket, "subscribed")
        _say(socket, type="unsubscribe", topics=["test:1"])
        assert _hear(socket, "unsubscribed")["topics"] == ["test:2"]
        publish("test:1", n=1)
        publish("test:2", n=2)
        assert _hear(socket, "event")["data"]["n"] == 2


def test_a_ping_is_answered_with_the_position(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="ping")
        assert _hear(socket) == {"type": "pong"}
        _say(socket, type="subscribe", topics=["test:1"])
        begin = _hear(socket, "subscribed")["position"]
        publish("test:quiet")

        def moved() -> bool:
            _say(socket, type="ping")
            return bool(_hear(socket, "pong")["position"] != begin)

        assert eventually(moved, interval=0.2)


def test_an_unknown_position_is_reset(daphne: Daphne, ada: Person, publish: Publish) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="subscribe", topics=["test:1"], after="nonsense")
        assert _hear(socket, "reset")["position"]
        publish(n=1)
        assert _hear(socket, "event")["data"]["n"] == 1


def test_nonsense_is_answered_and_the_socket_stays_usable(daphne: Daphne, ada: Person) -> None:
    nonsense: list[str | bytes] = [
        "{",
        "[]",
        '{"type":"subscribe","topics":["a b"]}',
        b"\x00",
        '{"type":"nonsense"}',
    ]
    with _open(daphne, ada.by_token) as socket:
        for frame in nonsense:
            socket.send(frame)
            assert _hear(socket)["type"] == "error", frame
        _say(socket, type="ping")
        assert _hear(socket)["type"] == "pong"


def test_a_topic_without_permission_is_refused_by_name(daphne: Daphne, ada: Person) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="subscribe", topics=["test:1", "secret:1"])
        refusal = _hear(socket)
        assert (refusal["type"], refusal["topic"]) == ("error", "secret:1")


def test_without_login_it_is_closed_with_a_code_that_says_so(daphne: Daphne, ada: Person) -> None:
    strangers: list[dict[str, str]] = [{}, {"Cookie": "sessionid=wrong"}, {"Authorization": "Token wrong"}]
    for who in strangers:
        with _open(daphne, who) as socket:
            assert _code(socket) == 4401


def test_another_site_cannot_use_the_visitors_cookie(daphne: Daphne, ada: Person) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        _open(daphne, ada.by_session, origin="http://evil.example")
    assert refusal.value.response.status_code == 403
    with _open(daphne, ada.by_session, origin=daphne.url) as socket:
        _say(socket, type="ping")
        assert _hear(socket)["type"] == "pong"


def test_a_flood_is_closed(daphne: Daphne, ada: Person) -> None:
    with _open(daphne, ada.by_token) as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5000):
                _say(socket, type="ping")
        assert _code(socket) == 4429


def test_logout_closes_the_socket_within_five_seconds(daphne: Daphne, ada: Person) -> None:
    with _open(daphne, ada.by_session) as socket:
        _say(socket, type="subscribe", topics=["test:1"])
        _hear(socket, "subscribed")
        Session.objects.all().delete()
        begun = time.monotonic()
        assert _code(socket) == 4403
        assert time.monotonic() - begun < 5


def test_a_closed_socket_leaves_the_registry_within_a_second(daphne: Daphne, ada: Person) -> None:
    with _open(daphne, ada.by_token) as socket:
        _say(socket, type="subscribe", topics=["test:1"])
        _hear(socket, "subscribed")
        assert daphne.registry()["connections"] == 1
        socket.socket.close()
    eventually(lambda: daphne.registry()["connections"] == 0, timeout=1.0)
