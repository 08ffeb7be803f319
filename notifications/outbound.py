"""What waits in the server for a client that does not read. ASGI cannot ask, and Daphne takes everything it is given.

Under Daphne the `send` of a connection knows its protocol, and that its transport; there the bytes not yet taken by
the kernel can be counted, and the connection cut, which a polite close cannot do while nobody reads. Other servers make
`send` wait by themselves; there a time-out around it does the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

from notifications.conf import event_settings
from notifications.connections import CHUNK, Connection

__all__ = ["Outbound", "Send", "WithOutbound"]

Send = Callable[[dict[str, Any]], Awaitable[None]]

_LOOK_AGAIN = 0.05


class Outbound:
    """One client's way out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._protocol = _daphne_protocol(send)

    @property
    def pending(self) -> int:
        """Bytes handed over and not yet taken by the kernel; 0 when the server makes send() wait instead."""
        transport = self._transport()
        if transport is None:
            return 0
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # noqa: SLF001  # no public count

    async def send(self, message: dict[str, Any], connection: Connection) -> None:
        """Send, then wait until most of it is gone. A client that takes nothing for STALL_SECONDS is closed as slow."""
        try:
            async with asyncio.timeout(event_settings().STALL_SECONDS):
                await self._send(message)
        except TimeoutError:
            connection.close("slow")
            return
        if self.pending > CHUNK:
            await self._drained(connection)

    def abort(self) -> None:
        """Cut the connection and drop what waits: for a client that does not read."""
        transport = self._transport()
        if transport is not None:
            transport.abortConnection()

    async def _drained(self, connection: Connection) -> None:
        least, moved_at = self.pending, monotonic()
        while (now := self.pending) > CHUNK and connection.closed is None:
            if now < least:
                least, moved_at = now, monotonic()
            elif monotonic() - moved_at >= event_settings().STALL_SECONDS:
                connection.close("slow")
            await asyncio.sleep(_LOOK_AGAIN)

    def _transport(self) -> Any:
        """Daphne's HTTP requests reach it through their channel, its WebSockets directly; TLS wraps it."""
        holder = getattr(self._protocol, "channel", None) or self._protocol
        transport = getattr(holder, "transport", None)
        while transport is not None and not hasattr(transport, "_tempDataLen"):
            transport = getattr(transport, "transport", None)
        return transport


class WithOutbound:
    """Middleware: outermost, so that it gets the server's own `send`, and leaves its Outbound in the scope."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        await self._app({**scope, "outbound": Outbound(send)}, receive, send)


def _daphne_protocol(send: Send) -> Any:
    """The protocol of daphne.server.Server.handle_reply, also through Channels' session wrapper."""
    inner = getattr(getattr(send, "__self__", None), "real_send", send)
    if isinstance(inner, partial) and inner.args and type(inner.args[0]).__module__.startswith("daphne."):
        return inner.args[0]
    return None
