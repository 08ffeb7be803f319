"""Pages by key: no count, no offset, the same cost on page one and page thousand, stable while rows come and go.

A page is what lies behind its cursor in the order of one unique key. Where a filter has no index (`scan_limit`), a
page looks at a bounded span of keys: it may then hold fewer rows than asked for, also none, while `next` says where to
go on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from jobs.api.fields import MAX_ID, read_instant
from jobs.errors import InvalidSubmission
from jobs.registry import NAME

__all__ = ["DEFAULT_PAGE", "MAX_PAGE", "Key", "Keyset", "as_id", "as_instant", "as_name"]

DEFAULT_PAGE = 50
MAX_PAGE = 200
_LONGEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a list is ordered by: a unique field, how its value is read back from a cursor, which way it goes."""

    field: str = "pk"
    read: Callable[[Any], Any]
    descending: bool = True

    @property
    def order(self) -> str:
        return f"-{self.field}" if self.descending else self.field

    def behind(self, rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return rows.filter(**{f"{self.field}__{'lt' if self.descending else 'gt'}": value})


def as_id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ID:
        raise ValueError("no id")
    return value


def as_name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise ValueError("no name")
    return value


def as_instant(value: Any) -> datetime:
    try:
        return read_instant(value)
    except InvalidSubmission as error:
        raise ValueError(error.reason) from None


class Keyset(BasePagination):
    """Reads `cursor` and `page_size`; the view says the `page_key`, and a `scan_limit` where filters have no index."""

    PARAMETERS = ("cursor", "page_size")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        key: Key = view.page_key
        size = page_size(request)
        after = _cursor(request, key)
        rows = queryset if after is None else key.behind(queryset, after)
        floor = _floor(queryset, after, view.scan_limit(request))
        if floor is not None:
            rows = rows.filter(pk__gte=floor)
        found = list(rows.order_by(key.order)[: size + 1])
        self._next = self._link(request, _key_of(found[size - 1], key) if len(found) > size else None)
        if len(found) <= size and floor is not None:
            self._next = self._link(request, _below(queryset, floor))
        return found[:size]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self._next})

    @staticmethod
    def _link(request: Request, value: Any) -> str | None:
        if value is None:
            return None
        return replace_query_param(request.build_absolute_uri(), "cursor", _encode(value))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {
            "type": "string",
            "format": "uri",
            "nullable": True,
            "example": "https://ops.example.org/api/v1/jobs?cursor=MTI",
            "description": "Address of the next page; null: this was the last.",
        }
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {"results": schema, "next": link},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
        cursor = "Where the page begins: taken from `next` of the page before."
        return [
            _parameter("cursor", cursor, {"type": "string"}),
            _parameter("page_size", "Rows of a page, at most.", size),
        ]


def page_size(request: Request) -> int:
    raw = request.query_params.get("page_size")
    if raw is None:
        return DEFAULT_PAGE
    if not (raw.isascii() and raw.isdigit() and len(raw) < len(str(MAX_ID)) and 1 <= int(raw) <= MAX_PAGE):
        raise ValidationError({"page_size": [f"must be a whole number within 1..{MAX_PAGE}"]})
    return int(raw)


def _floor(queryset: QuerySet[Any], after: int | None, limit: int | None) -> int | None:
    """The smallest id this page looks at, or None for all."""
    if limit is None:
        return None
    if after is None:
        newest = queryset.model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
        after = (newest or 0) + 1
    return max(after - limit, 1)


def _below(queryset: QuerySet[Any], floor: int) -> int | None:
    """Where the next page begins: at the first row under the floor, so that no page looks at a gap. None: no more."""
    older = queryset.model._default_manager.filter(pk__lt=floor).order_by("-pk")
    newest = older.values_list("pk", flat=True).first()
    return None if newest is None else newest + 1


def _key_of(row: Any, key: Key) -> Any:
    value = getattr(row, key.field)
    return value.isoformat() if isinstance(value, datetime) else value


def _encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _cursor(request: Request, key: Key) -> Any:
    raw = request.query_params.get("cursor")
    if raw is None:
        return None
    raw = raw[:_LONGEST]  # none that was given out is longer
    try:
        text = base64.urlsafe_b64decode(raw.encode("ascii") + b"=" * (-len(raw) % 4)).decode("utf-8")
        return key.read(json.loads(text))
    except (ValueError, binascii.Error, RecursionError):
        raise ValidationError({"cursor": ["is not one that this list gave out"]}) from None


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
