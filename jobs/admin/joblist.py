"""The list of jobs: state tabs, filters and a search that never scan the table.

What has an index of its own (a state's narrow table, a workflow, an id) is searched whole. Anything else is looked for
in a window of ids, the newest first, and the page says which ids it looked at and leads on to older ones. A value that
no row can have finds nothing: a list that ignored it would show everything under a filter, and offer to act on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from jobs import queries
from jobs.admin.keyset import KeysetChangeList, integer
from jobs.models import Job, Queue
from jobs.registry import NAME, registry
from jobs.states import State

__all__ = [
    "JobChangeList",
    "KindFilter",
    "LinkedFilter",
    "QueueFilter",
    "StateFilter",
    "WorkflowFilter",
    "known_queues",
    "search",
    "with_text",
]

_CHOICES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """One state above the list. `count`: text, empty for states that are not counted."""

    title: str
    link: str
    count: str
    active: bool


class StateFilter(SimpleListFilter):
    """Shown as tabs, so its own template is empty."""

    title = "state"
    parameter_name = "state"
    template = "admin/jobs/no_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if not value:
            return queryset
        return queries.with_state(queryset, State(value)) if value in set(State) else queryset.none()


class LinkedFilter(SimpleListFilter):
    """Set by links of pages and rows, with one value that nobody types."""

    template = "admin/jobs/linked_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.used_parameters.get(self.parameter_name or "") or ""
        return [(value, value)]


class NameFilter(DropdownFilter):
    """A name out of a list. Also one that is not in it: what is left over may bear the name of something deleted."""

    def has_output(self) -> bool:
        # Django leaves out a filter without choices, and would show all rows under its value.
        return bool(self.value()) or bool(super().has_output())


class KindFilter(NameFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in registry.names()[:_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return _equal(queryset, "kind", self.value())


class QueueFilter(NameFilter):
    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in known_queues()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return _equal(queryset, "queue", self.value())


def known_queues() -> list[str]:
    """Names to choose from or to suggest."""
    return list(Queue.objects.order_by("name").values_list("name", flat=True)[:_CHOICES])


class WorkflowFilter(TextFilter):
    title = "workflow number"
    parameter_name = "workflow"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if not value:
            return queryset
        try:
            return queryset.filter(workflow_id=integer(value.strip()))
        except ValueError:
            return queryset.none()


def _equal(found: QuerySet[Any], column: str, value: str | None) -> QuerySet[Any]:
    """Names have a shape; what has not, such as a NUL, is no name and must not reach the database."""
    if not value:
        return found
    return found.filter(**{column: value}) if NAME.match(value) else found.none()


def with_text(found: QuerySet[Any], lookup: str, value: str | None) -> QuerySet[Any]:
    """Rows that fit a text somebody typed: none a blank one, or one with a NUL, which PostgreSQL refuses."""
    if not value:
        return found
    value = value.strip()
    return found.filter(**{lookup: value[:200]}) if value and "\x00" not in value else found.none()


def search(found: QuerySet[Job], term: str) -> QuerySet[Job]:
    """By number, or by the beginning of a kind, or by a whole key: of a task in its workflow, or a unique one."""
    term = term.strip().removeprefix("#")
    if not term:
        return found
    try:
        return found.filter(pk=integer(term))
    except ValueError:
        known = Q(kind__startswith=term[:200]) | Q(task=term[:200])
        return found.filter(known | Q(pk__in=queries.holders_of(term)))


class JobChangeList(KeysetChangeList):
    """See the module."""

    def get_results(self, request: HttpRequest) -> None:
        self.counts = queries.counts_by_state()
        super().get_results(request)

    def scans(self) -> bool:
        """Whether finding a page could mean to read far more rows than it shows."""
        if self.given("workflow"):
            return False
        term = self.query.strip().removeprefix("#")
        filtered = bool(self.given("kind") or self.given("queue") or (term and not term.isdigit()))
        state = self.given("state")
        if state in set(State) and State(state) in self.counts:
            return filtered and self.counts[State(state)].capped
        return filtered or bool(state)

    @property
    def tabs(self) -> list[Tab]:
        active = self.given("state")
        first = Tab(title="all", link=self.get_query_string(remove=["state"]), count="", active=not active)
        return [first, *(self._tab(state, active) for state in State)]

    def _tab(self, state: State, active: str) -> Tab:
        count = self.counts.get(state)
        return Tab(
            title=state.value,
            link=self.get_query_string({"state": state.value}),
            count=str(count) if count is not None and count.number else "",
            active=active == state.value,
        )
