"""/ws/: the same subscription over a WebSocket, as JSON frames. What a client says is checked, bounded and answered.

Commands are handled one after the other; one task sends the events of the current subscription. Subscribing again
replaces the topics: with `after` set to the last position seen, nothing is lost or repeated by it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from django.db import Error as DatabaseError

from notifications import access, bus, topics
from notifications.commands import Allowance, BadCommand, Command, Ping, Subscribe, Unsubscribe, parse
from notifications.conf import event_settings
from notifications.connections import CHUNK, Connection
from notifications.envelope import control
from notifications.errors import BadTopics, Forbidden
from notifications.login import caller_of
from notifications.outbound import Outbound, Send
from notifications.subscription import subscribe
from notifications.threads import in_thread

__all__ = ["LiveConsumer"]

log = logging.getLogger(__name__)

LOGIN_REQUIRED, REVOKED = 4401, 4403
# Autobahn, under Daphne, lets applications send 1000 and 3000 to 4999 only.
_CODES = {"revoked": REVOKED, "slow": 4408, "flood": 4429, "shutdown": 4503, "unavailable": 4503}
_UNEXPECTED = 4500


class LiveConsumer:
    """The ASGI application; makes one session per WebSocket."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        await receive()  # websocket.connect
        # Accepted first: a refused handshake reaches a browser without its code.
        await send({"type": "websocket.accept"})
        try:
            caller = await caller_of(scope)
            identity = None if caller is None else await in_thread(access.admit, caller, ())
        except DatabaseError:
            await send({"type": "websocket.close", "code": _CODES["unavailable"]})
            return
        if caller is None or identity is None:
            await send({"type": "websocket.close", "code": LOGIN_REQUIRED})
            return
        if bus.hub().registry.of_user(identity.user_id) >= event_settings().MAX_CONNECTIONS_PER_USER:
            await send({"type": "websocket.close", "code": _CODES["flood"]})
            return
        connection = Connection(identity=identity, protocol="ws", limit=event_settings().BUFFER_BYTES)
        await _Session(caller, connection, scope["outbound"]).run(receive, send)


class _Session:
    """One WebSocket: reads commands, runs at most one subscription."""

    def __init__(self, caller: access.Caller, connection: Connection, outbound: Outbound) -> None:
        self._caller = caller
        self._connection = connection
        self._outbound = outbound
        self._hub = bus.hub()
        self._allowance = Allowance(event_settings().FRAMES_PER_SECOND)
        self._sender: asyncio.Task[None] | None = None

    async def run(self, receive: Any, send: Send) -> None:
        """Until the client goes or is closed."""
        self._hub.enter(self._connection)
        reader = asyncio.create_task(self._read(receive), name="opsched-ws-read")
        try:
            await self._connection.ended()
            if self._connection.closed != "gone":
                await self._end(send)
        finally:
            reader.cancel()
            await self._stop_sending()
            self._connection.close("gone")
            self._hub.leave(self._connection)
        if reader.done() and not reader.cancelled():
            reader.result()

    async def _end(self, send: Send) -> None:
        if self._outbound.pending > CHUNK:
            self._outbound.abort()
        else:
            await send(
                {"type": "websocket.close", "code": _CODES.get(self._connection.closed or "", _UNEXPECTED)}
            )

    async def _read(self, receive: Any) -> None:
        try:
            while self._connection.closed is None:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self._connection.close("gone")
                elif not self._allowance.take() or self._outbound.pending > CHUNK:
                    # Too many frames, or answers that nobody reads.
                    self._connection.close("flood")
                else:
                    await self._obey(message)
        finally:
            self._connection.close("error")

    async def _obey(self, message: dict[str, Any]) -> None:
        try:
            await self._do(parse(message.get("text")))
        except BadCommand as problem:
            await self._say("error", detail=str(problem))
        except BadTopics as problem:
            await self._say("error", detail=str(problem))
        except Forbidden as problem:
            await self._say("error", detail=str(problem), topic=problem.topic)
        except DatabaseError:
            self._connection.close("unavailable")

    async def _do(self, command: Command) -> None:
        match command:
            case Ping():
                place = self._hub.position if self._connection.topics else None
                await self._say("pong", position=place)
            case Subscribe(topics=named, after=after):
                wanted = topics.parse(named)
                self._connection.identity = await in_thread(access.admit, await self._fresh(), wanted)
                await self._stop_sending()
                self._connection.clear()
                self._sender = asyncio.create_task(self._send(wanted, after), name="opsched-ws-send")
            case Unsubscribe(topics=some):
                gone = self._connection.topics if some is None else frozenset(some)
                self._hub.drop_topics(self._connection, gone)
                await self._say("unsubscribed", topics=sorted(self._connection.topics))

    async def _fresh(self) -> access.Caller:
        """The caller as the database knows it now: a socket may be older than its user's rights."""
        return await in_thread(access.reload, self._caller)

    async def _send(self, wanted: frozenset[str], after: str | None) -> None:
        try:
            async with aclosing(subscribe(self._hub, self._connection, wanted, after)) as stream:
                async for frames in stream:
                    for frame in frames:
                        await self._outbound.send(_text(frame), self._connection)
        except (TimeoutError, DatabaseError) as problem:
            log.warning("A subscription ended early (%s).", str(problem).strip())
            self._connection.close("unavailable")

    async def _stop_sending(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
            self._sender = None

    async def _say(self, name: str, **data: Any) -> None:
        await self._outbound.send(_text(control("ws", name, **data)), self._connection)


def _text(frame: bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "text": frame.decode()}
