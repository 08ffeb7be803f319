"""What opsched/asgi.py mounts. Login and origin checks are inside, so that no mount can forget them."""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from notifications.consumers import LiveConsumer
from notifications.outbound import WithOutbound
from notifications.sse import StreamApp

__all__ = ["http_urlpatterns", "websocket_urlpatterns"]

http_urlpatterns = [
    path("notifications/stream", WithOutbound(AuthMiddlewareStack(StreamApp()))),  # type: ignore[arg-type]
]
"""For Channels' URLRouter under "http", before the catch-all of Django's own application."""

websocket_urlpatterns = [
    path("ws/", WithOutbound(AllowedHostsOriginValidator(AuthMiddlewareStack(LiveConsumer())))),  # type: ignore[arg-type]
]
"""For Channels' URLRouter under "websocket"."""
