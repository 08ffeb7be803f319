"""The web process: pages and REST by Django, streams by `notifications`, one server for both.

Streams stand in front of Django, which would hold a request's resources for as long as the stream lives. They bring
their own login and origin checks.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
# Sets Django up, so it comes before everything that imports models.
_pages = get_asgi_application()

from notifications.routing import http_urlpatterns, websocket_urlpatterns  # noqa: E402

__all__ = ["application"]


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
        "http": URLRouter([*http_urlpatterns, re_path(r"", _pages)]),  # type: ignore[arg-type]
        "websocket": URLRouter([*websocket_urlpatterns, re_path(r"", _refuse)]),  # type: ignore[arg-type]
    }
)
