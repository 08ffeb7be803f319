"""Workflows in the admin: the list, and a page with counts, the graph and the jobs by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from jobs import control
from jobs.admin import graph
from jobs.admin.base import SteeredAdmin
from jobs.admin.confirmed import Act
from jobs.admin.keyset import KeysetChangeList, integer
from jobs.control import ActionResult, Actor
from jobs.display import ago, badge, duration
from jobs.models import Workflow

__all__ = ["WorkflowAdmin"]

_COUNTS = ("completed", "active", "blocked", "dead", "closed")


def _cancel(actor: Actor, keys: Sequence[int], *, reason: str) -> ActionResult:
    """One by one: each is a transaction of its own, which locks the workflow."""
    return control.cancel_workflow(actor, keys[0], reason=reason)


CANCEL = Act(
    name="cancel",
    label="Cancel workflow",
    permissions=("jobs.cancel_workflow",),
    consequence="Every job of it that waits is cancelled, its dead letters are discarded, and the workers of those "
    "that run are asked to stop them. Completed jobs stay completed. This cannot be undone.",
    run=_cancel,
    refusal=lambda row: "" if row.state in ("running", "failed") else f"is {row.state}",
    icon="cancel",
    danger=True,
    bulk=False,
)


class WorkflowStateFilter(SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Workflow.STATES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> QuerySet[Workflow]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(state=value) if value in dict(Workflow.STATES) else queryset.none()


class WorkflowChangeList(KeysetChangeList):
    """A state or a name has no index: looked for among the newest, as in the list of jobs."""

    def scans(self) -> bool:
        return bool(self.given("state") or self.query.strip())


@admin.register(Workflow)
class WorkflowAdmin(SteeredAdmin):
    acts = (CANCEL,)
    list_display = ("title", "state_badge", "counts", "created", "took")
    list_filter = (WorkflowStateFilter,)
    list_filter_submit = False
    search_fields = ("id",)
    search_help_text = "Number, or beginning of the name"
    page_template = "admin/jobs/workflow/page.html"
    live_template = "admin/jobs/workflow/live.html"
    target_type = "workflow"
    live_topic = "workflow"
    empty_title = "No workflows"
    empty_text = "A workflow is a set of jobs that wait for each other, submitted in one call."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Workflow], search_term: str
    ) -> tuple[QuerySet[Workflow], bool]:
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=integer(term)), False
        except ValueError:
            return queryset.filter(name__startswith=term[:200]), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WorkflowChangeList]:
        return WorkflowChangeList

    @admin.display(description="workflow")
    def title(self, row: Workflow) -> str:
        return f"#{row.pk} {row.name}"

    @admin.display(description="state")
    def state_badge(self, row: Workflow) -> str:
        return badge(row.state)

    @admin.display(description="jobs")
    def counts(self, row: Workflow) -> str:
        failed = f", {row.dead:,} dead" if row.dead else ""
        return f"{row.completed:,} of {row.total:,} completed{failed}"

    @admin.display(description="submitted")
    def created(self, row: Workflow) -> str:
        return ago(row.created_at)

    @admin.display(description="took")
    def took(self, row: Workflow) -> str:
        return duration(row.created_at, row.finished_at)

    def page_context(self, request: HttpRequest, row: Workflow) -> dict[str, Any]:
        tasks = graph.load(row.pk)
        return {
            "bars": [(name, getattr(row, name), _share(row, name)) for name in _COUNTS if getattr(row, name)],
            "levels": graph.levels(tasks),
            "drawing": graph.draw(tasks),
            "shown": len(tasks),
            "created": ago(row.created_at),
            "took": duration(row.created_at, row.finished_at),
        }


def _share(row: Workflow, name: str) -> float:
    return round(100 * getattr(row, name) / max(row.total, 1), 2)
