"""What operators did, read-only and for ever: who, what, to which object, why, before and after."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import TextFilter

from jobs.admin.base import SteeredAdmin
from jobs.admin.joblist import LinkedFilter, with_text
from jobs.admin.keyset import KeysetChangeList
from jobs.display import NOTHING, ago, pretty, way_to
from jobs.models import DeadLetterGroup, DeadLetterRun, Job, OperatorAction, Queue, Schedule, Workflow

__all__ = ["OperatorActionAdmin", "target_link"]

_MODELS: dict[str, Any] = {
    "job": Job,
    "workflow": Workflow,
    "schedule": Schedule,
    "queue": Queue,
    "deadletterrun": DeadLetterRun,
    "deadlettergroup": DeadLetterGroup,
}


_WORDS = {"deadletterrun": "dead-letter run", "deadlettergroup": "dead-letter group"}


class TargetFilter(LinkedFilter):
    """`?target=job:12`: what was done to one object; the pages of objects link here."""

    title = "object"
    parameter_name = "target"

    def queryset(self, request: HttpRequest, queryset: QuerySet[OperatorAction]) -> QuerySet[OperatorAction]:
        value = self.value()
        if not value:
            return queryset
        kind, colon, key = value.partition(":")
        if not colon or "\x00" in value:
            return queryset.none()
        return queryset.filter(target_type=kind[:20], target_id=key[:100])


class ActorFilter(TextFilter):
    title = "name of the operator"
    parameter_name = "actor"

    def queryset(self, request: HttpRequest, queryset: QuerySet[OperatorAction]) -> QuerySet[OperatorAction]:
        return with_text(queryset, "actor_name", self.value())


def target_link(row: OperatorAction, reader: Any) -> SafeString | str:
    model = _MODELS.get(row.target_type)
    key = row.target_id[:8] if row.target_type == "deadlettergroup" else row.target_id
    text = f"{_WORDS.get(row.target_type, row.target_type)} {key}"
    if model is None or row.action == "delete":
        return text
    return way_to(reader, model, row.target_id, text)


class OperatorActionChangeList(KeysetChangeList):
    def scans(self) -> bool:
        return bool(self.given("actor")) and not self.given("target")


@admin.register(OperatorAction)
class OperatorActionAdmin(SteeredAdmin):
    list_display = ("action", "target", "operator", "at_time", "why")
    list_filter = (ActorFilter, TargetFilter)
    page_template = "admin/jobs/operatoraction/page.html"
    empty_title = "No operator actions"
    empty_text = "Whatever operators change is recorded here: who, what, why, before and after."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OperatorActionChangeList]:
        return OperatorActionChangeList

    @admin.display(description="object")
    def target(self, row: Any) -> str:
        return target_link(row, row.reader)

    @admin.display(description="operator")
    def operator(self, row: OperatorAction) -> str:
        return row.actor_name

    @admin.display(description="when")
    def at_time(self, row: OperatorAction) -> str:
        return ago(row.at)

    @admin.display(description="reason")
    def why(self, row: OperatorAction) -> str:
        return row.reason[:120] or NOTHING

    def page_context(self, request: HttpRequest, row: OperatorAction) -> dict[str, Any]:
        return {
            "target": target_link(row, request.user),
            "before": pretty(row.before) if row.before else None,
            "after": pretty(row.after) if row.after else None,
        }
