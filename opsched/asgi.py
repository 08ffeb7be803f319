"""The web process: pages and REST by Django, streams by `notifications`, one server for both.

Streams stand in front of Django, which would hold a request's resources for as long as the stream lives. They bring
their own login and origin checks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.core.exceptions import BadRequest
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
# Sets Django up, so it comes before everything that imports models.
_pages = get_asgi_application()

from notifications.routing import http_urlpatterns, websocket_urlpatterns  # noqa: E402

__all__ = ["application"]


async def _answer(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Django, which from 6.1 on lets the error out when a header stops it from making its request object."""
    try:
        await _pages(scope, receive, _head_of(send) if scope["method"] == "HEAD" else send)  # type: ignore[arg-type]
    except BadRequest as error:
        body = json.dumps(
            {"type": "about:blank", "title": "Bad request", "status": 400, "detail": str(error)}
        ).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _head_of(
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """Without the body: Daphne leaves out its first part only, and a client takes the rest for its next answer."""

    async def send_head(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


async def _refuse(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """A WebSocket to an address that does not exist: refused like a page would be, without a traceback in the log."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


application = ProtocolTypeRouter(
    {
        "http": URLRouter([*http_urlpatterns, re_path(r"", _answer)]),  # type: ignore[arg-type]
        "websocket": URLRouter([*websocket_urlpatterns, re_path(r"", _refuse)]),  # type: ignore[arg-type]
    }
)
