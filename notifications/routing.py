"""What opsched/asgi.py mounts. Login and origin checks are inside, so that no mount can forget them."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from notifications.consumers import LiveConsumer
from notifications.outbound import WithOutbound
from notifications.sse import StreamApp

__all__ = ["SameSite", "WithStreams", "http_urlpatterns", "websocket_urlpatterns"]

_STREAM = "notifications/stream"
_stream = WithOutbound(AuthMiddlewareStack(StreamApp()))

http_urlpatterns = [path(_STREAM, _stream)]  # type: ignore[arg-type]  # Channels puts applications where Django puts views
"""For Channels' URLRouter under "http", in front of Django's own application."""


class SameSite:
    """Refuses a WebSocket whose Origin is none of ALLOWED_HOSTS: cookies travel with it from any site.

    Every browser sends an Origin; a program that sends none has no cookies to be tricked out of.
    """

    def __init__(self, app: Any) -> None:
        self._any, self._checked = app, AllowedHostsOriginValidator(app)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        named = any(name == b"origin" for name, _ in scope["headers"])
        await (self._checked if named else self._any)(scope, receive, send)


_socket = WithOutbound(SameSite(AuthMiddlewareStack(LiveConsumer())))

websocket_urlpatterns = [path("ws/", _socket)]  # type: ignore[arg-type]
"""For Channels' URLRouter under "websocket"."""


class WithStreams:
    """The "http" application with the stream in front: WithStreams(get_asgi_application())."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"].removeprefix(scope.get("root_path", "")) == f"/{_STREAM}":
            await _stream(scope, receive, send)
        else:
            await self._app(scope, receive, send)
