"""The web process: HTTP by Django, WebSocket by `notifications`, both under the same hosts and logins."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
# Sets Django up, so it comes before everything that imports models.
_http = get_asgi_application()

from notifications.routing import websocket_urlpatterns  # noqa: E402

__all__ = ["application"]

application = ProtocolTypeRouter(
    {
        "http": _http,
        # Cookies travel with a WebSocket from any site, so the Origin decides before the session does.
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
