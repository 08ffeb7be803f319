"""GET /notifications/stream?topics=a,b: the subscription as server-sent events.

An ASGI application of its own: it sees the client's disconnect while it sends, which Channels' HTTP consumer does not.
 Resumes by the Last-Event-ID header or ?last_event_id=. Errors are problem+json.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from django.db import Error as DatabaseError

from notifications import access, bus, framing, topics
from notifications.conf import event_settings
from notifications.connections import Connection, Identity
from notifications.errors import BadTopics, Forbidden
from notifications.hub import Hub
from notifications.login import caller_of
from notifications.outbound import Outbound, Send
from notifications.subscription import subscribe
from notifications.threads import in_thread

__all__ = ["StreamApp"]

log = logging.getLogger(__name__)

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


_MAX_PARAMETERS = 200


class _Refused(Exception):  # an answer, not a mistake
    def __init__(self, status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, list(headers)


class StreamApp:
    """The ASGI application; needs the scope's user and session (Channels' AuthMiddlewareStack) and `outbound`."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        hub = bus.hub()
        try:
            connection, wanted = await _admit(scope, hub)
        except _Refused as refusal:
            await _refuse(send, refusal)
            return
        hub.enter(connection)
        watcher = asyncio.create_task(_watch(receive, hub, connection), name="opsched-sse-watch")
        try:
            await _stream(scope, send, hub, connection, wanted)
        finally:
            watcher.cancel()
            connection.close("gone")
            hub.leave(connection)


async def _admit(scope: dict[str, Any], hub: Hub) -> tuple[Connection, frozenset[str]]:
    """Method, login, topics, permission, in this order."""
    if scope["method"] != "GET":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "A stream is read with GET.", (b"allow", b"GET"))
    try:
        caller = await caller_of(scope)
        if caller is None:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "Log in first.", (b"www-authenticate", b"Token"))
        wanted = topics.parse(_parameters(scope).get("topics", []))
        identity = await in_thread(access.admit, caller, wanted)
    except BadTopics as problem:
        raise _Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem
    except Forbidden as problem:
        raise _Refused(HTTPStatus.FORBIDDEN, str(problem)) from problem
    except DatabaseError as problem:
        raise _unavailable() from problem
    return _connection(hub, identity), wanted


def _connection(hub: Hub, identity: Identity) -> Connection:
    conf = event_settings()
    if hub.registry.of_user(identity.user_id) >= conf.MAX_CONNECTIONS_PER_USER:
        raise _Refused(
            HTTPStatus.TOO_MANY_REQUESTS, "You have too many streams open.", (b"retry-after", b"30")
        )
    return Connection(identity=identity, protocol="sse", limit=conf.BUFFER_BYTES)


async def _stream(
    scope: dict[str, Any], send: Send, hub: Hub, connection: Connection, wanted: frozenset[str]
) -> None:
    outbound: Outbound = scope["outbound"]
    async with aclosing(subscribe(hub, connection, wanted, _last_event_id(scope))) as stream:
        try:
            first = await anext(stream)
        except TimeoutError:
            await _refuse(send, _unavailable())
            return
        # Through the middleware's send, which may add the session's cookie; the rest goes straight to the server.
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        await outbound.send(_body(framing.retry(event_settings().RETRY_MS), *first), connection)
        await _pump(stream, outbound, connection)
    if connection.closed == "gone":
        return
    if outbound.pending:
        outbound.abort()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _pump(stream: AsyncIterator[list[bytes]], outbound: Outbound, connection: Connection) -> None:
    try:
        async for frames in stream:
            await outbound.send(_body(*frames), connection)
            if connection.closed is not None:
                return
    except DatabaseError as problem:
        # In the middle of a replay: the client comes back with what it has.
        log.warning("A replay ended early (%s).", str(problem).strip())
        connection.close("unavailable")


async def _watch(receive: Any, hub: Hub, connection: Connection) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.close("gone")
    hub.leave(connection)  # here, and not when the stream has noticed: that may be waiting for the database


def _body(*frames: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"".join(frames), "more_body": True}


def _parameters(scope: dict[str, Any]) -> dict[str, list[str]]:
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise BadTopics(f"The address has more than {_MAX_PARAMETERS} parameters.") from None


def _last_event_id(scope: dict[str, Any]) -> str | None:
    """The header wins: a browser sends it on reconnect, with the URL of the first time."""
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return str(value.decode("latin-1"))
    return _parameters(scope).get("last_event_id", [None])[-1]


def _unavailable() -> _Refused:
    return _Refused(
        HTTPStatus.SERVICE_UNAVAILABLE, "The event log cannot be reached.", (b"retry-after", b"5")
    )


async def _refuse(send: Send, refusal: _Refused) -> None:
    problem = {"type": "about:blank", "title": refusal.status.phrase, "status": refusal.status.value}
    body = json.dumps({**problem, "detail": refusal.detail}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
