"""What every view here shares: who may, what may be asked, how bodies are read and errors told.

In order: encoding, content negotiation, login (401), permission of the action (403), unknown query parameters (400),
and only then the body. Nothing depends on the REST settings of the project it is installed in.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from django.http import HttpRequest
from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from jobs.api import problems
from jobs.api.authentication import PrintableSession, PrintableToken
from jobs.api.fields import MAX_ID
from jobs.api.filters import StrictFilters
from jobs.api.pagination import Key, Keyset, as_id
from jobs.api.parsing import MAX_BODY_BYTES, StrictJSONParser
from jobs.api.schema import ApiSchema
from jobs.control import Actor
from jobs.core.suggestion import did_you_mean, nearest
from jobs.errors import NotFound

__all__ = ["ActionPermission", "ApiViewSet", "StrictRequest"]


class StrictRequest(Request):
    """DRF takes a body without a length for none; a chunked body has no length and is a body all the same."""

    def _load_stream(self) -> None:
        meta = self._request.META
        length = str(meta.get("CONTENT_LENGTH") or 0)
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise problems.BodyTooLarge(f"The body has more than {MAX_BODY_BYTES:,} bytes.")
        super()._load_stream()  # type: ignore[misc] # missing from the stubs
        if self._stream is None and meta.get("HTTP_TRANSFER_ENCODING"):
            self._stream = self._request


class Negotiation(DefaultContentNegotiation):
    """By the Accept header alone: `?format=` is a parameter nobody knows."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except ValueError:
            raise NotAcceptable("The Accept header cannot be read.") from None


class ActionPermission(BasePermission):
    """Logged in, and holding the permission that the view names for this action."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        needed = view.permission_of(view.action)
        if needed is not None:
            Actor.of(request.user).require(needed)
        return True


class ApiViewSet(GenericViewSet):  # type: ignore[type-arg]
    """Base of the views. `permissions`: by action, else `view_permission`; `parameters`: query parameters by action."""

    authentication_classes = [PrintableToken, PrintableSession]
    permission_classes = [ActionPermission]
    parser_classes = [StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = Negotiation
    filter_backends = [StrictFilters]
    pagination_class: Any = Keyset
    metadata_class = None
    schema: Any = ApiSchema()
    lookup_value_regex = "[0-9]{1,19}"

    view_permission: ClassVar[str]
    permissions: ClassVar[Mapping[str, str]] = {}
    parameters: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    page_key = Key(read=as_id)

    def permission_of(self, action: str | None) -> str | None:
        """None for a method that does not exist here, which is a 405 for whoever is logged in."""
        if action is None or action == "metadata":
            return None
        return self.permissions.get(action, self.view_permission)

    def scan_limit(self, request: Request) -> int | None:
        """How many keys a page may look at, where a filter has no index."""
        return None

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problems.handle

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {**super().default_response_headers, "Cache-Control": "private, no-store"}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        plain = super().initialize_request(request, *args, **kwargs)
        return StrictRequest(
            request,
            parsers=plain.parsers,
            authenticators=self.get_authenticators(),
            negotiator=plain.negotiator,
            parser_context=plain.parser_context,
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        _refuse_other_charset(request)
        super().initial(request, *args, **kwargs)
        if self.action is not None:
            self._refuse_unknown_parameters(request)

    def _refuse_unknown_parameters(self, request: Request) -> None:
        known = self._known_parameters()
        errors = {}
        for name, values in request.query_params.lists():
            if name not in known:
                errors[name[:100]] = [f"there is no such parameter{did_you_mean(nearest(name, known))}"]
            elif len(values) > 1:
                errors[name] = ["is given more than once"]
        if errors:
            raise ValidationError(errors)

    def _known_parameters(self) -> tuple[str, ...]:
        if self.action == "list":
            filters = getattr(self, "filterset_class", None)
            return (*Keyset.PARAMETERS, *(filters.base_filters if filters else ()))
        return self.parameters.get(str(self.action), ())

    # -- small words for the views -----------------------------------------------------------------------------------

    @property
    def actor(self) -> Actor:
        return Actor.of(self.request.user)

    @property
    def object_id(self) -> int:
        """The id in the address. One that no row can have is one that does not exist."""
        found = int(self.kwargs["pk"])
        if not 1 <= found <= MAX_ID:
            raise NotFound(f"There is no {self.thing} {found}.")
        return found

    @property
    def thing(self) -> str:
        return str(self.get_queryset().model._meta.verbose_name)

    def found(self) -> Any:
        """The row in the address. Raises NotFound."""
        row = self.get_queryset().filter(pk=self.object_id).first()
        if row is None:
            raise NotFound(f"There is no {self.thing} {self.object_id}.")
        return row

    def body(self, shape: Any, **options: Any) -> Any:
        """The checked body of the request, as a dict."""
        serializer = shape(data=self.request.data, **options)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def page_of(self, rows: Any, shape: Any, key: Key) -> Response:
        """A page of something below the row in the address, by a key of its own."""
        self.page_key = key
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shape(page, many=True).data)


def _refuse_other_charset(request: Request) -> None:
    """Django decodes the query string by the charset of the body, and fails on codecs that are none for text.

    One that it does not know it takes for none.
    """
    charset = (request._request.content_params or {}).get("charset")  # noqa: SLF001 - DRF's own name for Django's
    if charset is not None and not _is_utf8(charset):
        raise UnsupportedMediaType(request.content_type, "The charset must be utf-8.")


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False
