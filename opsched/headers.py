"""The Content-Security-Policy of every page: nothing from other hosts, no frames, no plug-ins, no foreign form targets.

Inline scripts and `eval` stay allowed because the admin's Alpine.js expressions need them; what is closed is the way
out (`connect-src`, `img-src`, `form-action`), so that injected markup could not send anything away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

__all__ = ["ContentSecurityPolicy"]

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class ContentSecurityPolicy:
    """Middleware for both worlds, so that the asynchronous chain stays unbroken."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._later(request)
        return _marked(cast("HttpResponseBase", self._get_response(request)))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return _marked(await self._get_response(request))


def _marked(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    return response
