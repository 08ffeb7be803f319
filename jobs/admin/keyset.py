"""Lists that never count and never skip rows: each page starts where the last one ended, by key.

A page costs the same at the head of a table and ten million rows down. A cursor comes from the address bar, so it is
read strictly; what it cannot be is treated like any other bad parameter, with a redirect to the plain list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from jobs.registry import NAME

__all__ = ["AFTER", "BEFORE", "MAX_ID", "WINDOW", "Column", "KeysetChangeList", "integer", "moment", "name"]

BEFORE, AFTER = "before", "after"
MAX_ID = 2**63 - 1
_SEPARATOR = "~"
WINDOW = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the order. `read` turns a cursor's text into its value or raises ValueError."""

    name: str
    read: Callable[[str], Any]
    descending: bool = True


def integer(text: str) -> int:
    """A positive bigint. `int()` alone would take signs, spaces, underscores and other scripts' digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
        raise ValueError(f"{text[:40]!r} is no id")
    return int(text)


def moment(text: str) -> datetime:
    """An instant with its zone."""
    found = datetime.fromisoformat(text)
    if found.utcoffset() is None:
        raise ValueError(f"{text[:40]!r} has no zone")
    return found


def name(text: str) -> str:
    """Of a queue or a kind."""
    if not NAME.match(text):
        raise ValueError(f"{text[:40]!r} is no name")
    return text


class _OnePage:
    """Stands where the templates expect a paginator."""

    template_name = "admin/jobs/pages.html"
    num_pages = 1

    def __init__(self, per_page: int) -> None:
        self.per_page = per_page


class KeysetChangeList(ChangeList):
    """A change list in the order of `model_admin.keyset`, a tuple of `Column`s whose last one is unique."""

    older: str | None = None
    newer: str | None = None
    window: tuple[int, int] | None = None

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {key: value for key, value in found.items() if key not in (BEFORE, AFTER)}

    def get_query_string(
        self, new_params: dict[str, Any] | None = None, remove: list[str] | None = None
    ) -> str:
        """Another filter starts at the first page again."""
        new_params = {BEFORE: None, AFTER: None} | (new_params or {})
        return super().get_query_string(new_params, remove)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Model]) -> list[str]:
        return [f"-{column.name}" if column.descending else column.name for column in self._columns]

    def get_results(self, request: HttpRequest) -> None:
        self.reader = request.user
        place, backwards = self._place(request)
        found = self.queryset
        if place is not None:
            found = found.filter(_beyond(self._columns, place, backwards=backwards))
        self.window = self.look_at(place, backwards=backwards)
        if self.window is not None:
            found = found.filter(pk__gte=self.window[0], pk__lte=self.window[1])
        if backwards:
            found = found.reverse()
        rows = list(found[: self.list_per_page + 1])
        self._set_page(rows, place=place, backwards=backwards)

    def look_at(self, place: Sequence[Any] | None, *, backwards: bool) -> tuple[int, int] | None:
        """The lowest and highest primary key that this page looks at; None for all.

        For lists in the order of their ids, where `scans` says that finding a page could mean to read far more rows
        than it shows.
        """
        if not self.scans():
            return None
        if place is not None:
            at = int(place[0])
            return (at + 1, at + WINDOW) if backwards else (max(at - WINDOW, 1), at - 1)
        newest = self.model._default_manager.order_by("-pk").values_list("pk", flat=True).first() or 0
        return max(newest - WINDOW + 1, 1), newest

    def scans(self) -> bool:
        """Whether the filters have no index that leads to their rows."""
        return False

    def given(self, name: str) -> str:
        """A parameter of the address, empty when it is not there."""
        return str(self.params.get(name, ""))

    @property
    def _columns(self) -> tuple[Column, ...]:
        found: tuple[Column, ...] = self.model_admin.keyset
        return found

    def _place(self, request: HttpRequest) -> tuple[list[Any] | None, bool]:
        """Where the page starts, and whether it is read towards the head of the list."""
        backwards = AFTER in request.GET
        text = request.GET.get(AFTER if backwards else BEFORE)
        if text is None:
            return None, False
        parts = text.split(_SEPARATOR)
        try:
            return [column.read(part) for column, part in zip(self._columns, parts, strict=True)], backwards
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters from error

    def _set_page(self, rows: list[Model], *, place: Sequence[Any] | None, backwards: bool) -> None:
        more = len(rows) > self.list_per_page
        rows = rows[: self.list_per_page]
        if backwards:
            rows.reverse()
        # Columns are asked without the request, and some lead to pages that not everybody may see.
        for row in rows:
            row.reader = self.reader  # type: ignore[attr-defined]
        if rows:
            self.older = self._cursor(rows[-1]) if more or backwards else None
            self.newer = self._cursor(rows[0]) if place is not None and (more or not backwards) else None
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = len(rows)  # the same, so that no number is shown that nobody counted
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = False
        self.paginator = _OnePage(self.list_per_page)

    def _cursor(self, row: Model) -> str:
        values = [getattr(row, column.name) for column in self._columns]
        return _SEPARATOR.join(v.isoformat() if isinstance(v, datetime) else str(v) for v in values)

    # -- for the template ----------------------------------------------------------------------------------------------

    @property
    def older_link(self) -> str | None:
        return None if self.older is None else self.get_query_string({BEFORE: self.older})

    @property
    def newer_link(self) -> str | None:
        return None if self.newer is None else self.get_query_string({AFTER: self.newer})

    @property
    def further_link(self) -> str | None:
        """Past what this page looked at; only where nothing more was found inside it."""
        if self.window is None or self.older is not None or self.window[0] <= 1:
            return None
        return self.get_query_string({BEFORE: str(self.window[0])})


def _beyond(columns: Sequence[Column], place: Sequence[Any], *, backwards: bool) -> Q:
    """Rows that come after `place` in the order: (a, b) beyond (x, y) is a beyond x, or a = x and b beyond y."""
    beyond, equal = Q(), Q()
    for column, value in zip(columns, place, strict=True):
        word = "lt" if column.descending is not backwards else "gt"
        beyond |= equal & Q((f"{column.name}__{word}", value))
        equal &= Q((column.name, value))
    # Follows from the rest, but an OR gives an index scan no place to start at, and this does.
    first = "lte" if columns[0].descending is not backwards else "gte"
    return Q((f"{columns[0].name}__{first}", place[0])) & beyond
