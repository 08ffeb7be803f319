"""The OpenAPI description as a view: with the API's own login and errors, so that a stranger gets the same 401 here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.api import problems
from jobs.api.authentication import PrintableSession, PrintableToken

__all__ = ["DescriptionView"]


class DescriptionView(SpectacularAPIView):
    """YAML, or JSON for who accepts that; errors are JSON for everybody."""

    authentication_classes = [PrintableToken, PrintableSession]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problems.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(response, "exception", False):
            request.accepted_renderer = JSONRenderer()
            request.accepted_media_type = JSONRenderer.media_type
        return super().finalize_response(request, response, *args, **kwargs)
