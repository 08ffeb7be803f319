"""Names for the addresses of the streams, so that templates can ask for them with {% url %}.

The stream itself is an ASGI application in front of Django (`notifications.routing.WithStreams`); whoever gets
here runs without it, and is told so instead of getting a 404 that looks like a wrong address.
"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

__all__ = ["app_name", "urlpatterns"]

app_name = "notifications"


def not_mounted(request: HttpRequest) -> JsonResponse:  # Django's signature
    """503: this server cannot stream."""
    detail = "Streams need the ASGI application with notifications.routing.WithStreams; this server has none."
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": detail}
    return JsonResponse(problem, status=503, content_type="application/problem+json")


urlpatterns = [path("stream", not_mounted, name="stream")]
