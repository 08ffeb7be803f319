"""What makes a repeated submission the same one, for operators: unique keys of jobs, idempotency keys of requests.

Read-only but for one act: a unique key can be freed before its time, also one whose job was deleted long ago. Lists go
by key; what has no index is looked for among the newest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import TextFilter

from jobs import releasing
from jobs.admin.base import SteeredAdmin
from jobs.admin.confirmed import Act
from jobs.admin.job_page import held_until, is_held
from jobs.admin.joblist import KindFilter, with_text
from jobs.admin.keyset import KeysetChangeList
from jobs.control import ActionResult, Actor
from jobs.display import NOTHING, ago, badge, exact, pretty, way_to
from jobs.errors import NotFound
from jobs.models import IdempotencyKey, Job, Schedule, UniqueKey, Workflow

__all__ = ["IdempotencyKeyAdmin", "UniqueKeyAdmin"]

_MADE = re.compile(r"/(jobs|workflows|schedules)/([0-9]{1,18})\Z")
_MODELS: dict[str, Any] = {"jobs": Job, "workflows": Workflow, "schedules": Schedule}


class KeyedChangeList(KeysetChangeList):
    """A whole key has an index; filters alone have none."""

    def scans(self) -> bool:
        filters = [spec.parameter_name for spec in self.model_admin.list_filter]
        return not self.query.strip() and any(self.given(name) for name in filters)


class UniqueKeyChangeList(KeyedChangeList):
    """With the states of the jobs, in one query: a key has no foreign key, since it may outlive its job."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        page: list[Any] = self.result_list
        states = dict(Job.objects.filter(pk__in=[row.job_id for row in page]).values_list("pk", "state"))
        for row in page:
            row.job_state = states.get(row.job_id)


def _state_of(row: Any) -> str | None:
    """Of the key's job; None where that was deleted."""
    if not hasattr(row, "job_state"):
        row.job_state = Job.objects.filter(pk=row.job_id).values_list("state", flat=True).first()
    found: str | None = row.job_state
    return found


def _release(actor: Actor, keys: Sequence[int], *, reason: str) -> ActionResult:
    jobs = list(UniqueKey.objects.filter(pk__in=keys).values_list("job_id", flat=True))
    if not jobs:
        raise NotFound("There is no such key any more.")
    return releasing.release_key(actor, jobs, reason=reason)


RELEASE = Act(
    name="release",
    label="Release",
    permissions=("jobs.cancel_job",),
    consequence="The key is free at once: the same work can be submitted again. The job that held it is left as it is.",
    run=_release,
    refusal=lambda row: "" if is_held(row, _state_of(row)) else "is free already",
    icon="key_off",
    danger=True,
    vanishes=True,
)


@admin.register(UniqueKey)
class UniqueKeyAdmin(SteeredAdmin):
    acts = (RELEASE,)
    list_display = ("key", "kind", "held", "job", "since")
    list_filter = (KindFilter,)
    search_fields = ("key",)
    search_help_text = "The whole key"
    page_template = "admin/jobs/uniquekey/page.html"
    empty_title = "No unique keys"
    empty_text = "A job that was submitted with a unique key stands here for as long as the key counts."

    def get_queryset(self, request: HttpRequest) -> QuerySet[UniqueKey]:
        return UniqueKey.objects.defer("result")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[UniqueKeyChangeList]:
        return UniqueKeyChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UniqueKey], search_term: str
    ) -> tuple[QuerySet[UniqueKey], bool]:
        return _by_key(queryset, search_term), False

    @admin.display(description="held")
    def held(self, row: UniqueKey) -> str:
        return held_until(row, _state_of(row))

    @admin.display(description="job")
    def job(self, row: Any) -> str:
        return _job(row, row.reader)

    @admin.display(description="submitted")
    def since(self, row: UniqueKey) -> str:
        return ago(row.created_at)

    def page_context(self, request: HttpRequest, row: UniqueKey) -> dict[str, Any]:
        state = _state_of(row)
        facts: list[tuple[str, Any]] = [
            ("Kind", row.kind),
            ("Scope", row.get_scope_display()),
            ("Held", held_until(row, state)),
            ("Job", _job(row, request.user)),
            ("Submitted", exact(row.created_at)),
        ]
        if state is None and row.state:
            facts += [("The job had", row.state), ("Ended", exact(row.finished_at))]
        sees = request.user.has_perm("jobs.view_job")
        kept = state is None and row.state == "completed"
        return {
            "state": "held" if is_held(row, state) else "free",
            "facts": facts,
            "gone": state is None,
            "result": pretty(row.result) if kept and sees else None,
        }


def _job(row: UniqueKey, reader: Any) -> str:
    state = _state_of(row)
    return (
        f"#{row.job_id}, deleted"
        if state is None
        else way_to(reader, Job, row.job_id, f"#{row.job_id} {state}")
    )


class UserFilter(TextFilter):
    title = "name of the user"
    parameter_name = "user"

    def queryset(self, request: HttpRequest, queryset: QuerySet[IdempotencyKey]) -> QuerySet[IdempotencyKey]:
        return with_text(queryset, f"user__{get_user_model().USERNAME_FIELD}", self.value())


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(SteeredAdmin):
    list_display = ("key", "who", "route_shown", "answered", "status_badge", "when", "until")
    list_filter = (UserFilter,)
    search_fields = ("key",)
    search_help_text = "The whole key, without quotes"
    page_template = "admin/jobs/idempotencykey/page.html"
    empty_title = "No idempotency keys"
    empty_text = (
        "A request that created something under an Idempotency-Key stands here until the key expires."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdempotencyKey]:
        return IdempotencyKey.objects.select_related("user").defer("answer")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeyedChangeList]:
        return KeyedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[IdempotencyKey], search_term: str
    ) -> tuple[QuerySet[IdempotencyKey], bool]:
        return _by_key(queryset, search_term.strip().strip('"')), False

    @admin.display(description="user")
    def who(self, row: IdempotencyKey) -> str:
        return row.user.get_username()

    @admin.display(description="request")
    def route_shown(self, row: IdempotencyKey) -> str:
        return row.route[:200]

    @admin.display(description="answer")
    def answered(self, row: IdempotencyKey) -> str:
        return str(row.status)

    @admin.display(description="state")
    def status_badge(self, row: IdempotencyKey) -> str:
        return badge(_counts(row))

    @admin.display(description="when")
    def when(self, row: IdempotencyKey) -> str:
        return ago(row.created_at)

    @admin.display(description="expires")
    def until(self, row: IdempotencyKey) -> str:
        return ago(row.expires_at)

    def page_context(self, request: HttpRequest, row: IdempotencyKey) -> dict[str, Any]:
        return {
            "state": _counts(row),
            "facts": [
                ("User", row.user.get_username()),
                ("Request", row.route),
                ("Answer", row.status),
                ("Made", _made(row, request.user)),
                ("When", exact(row.created_at)),
                ("Expires", exact(row.expires_at)),
                ("Fingerprint of the body", row.fingerprint),
            ],
            # It may hold what a job returned, to which `view_job` leads.
            "answer": pretty(json.loads(row.answer)) if request.user.has_perm("jobs.view_job") else None,
        }


def _counts(row: IdempotencyKey) -> str:
    return "kept" if row.expires_at > timezone.now() else "expired"


def _made(row: IdempotencyKey, reader: Any) -> str:
    """The way to what the request created, where that is one thing that has a page."""
    found = _MADE.search(row.location)
    if found is None:
        return row.location or NOTHING
    model, key = _MODELS[found[1]], found[2]
    return way_to(reader, model, key, f"{model._meta.verbose_name} {key}")


def _by_key(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Those with exactly this key; one that cannot be stored must not reach the database."""
    term = term.strip()
    if not term:
        return rows
    longest = rows.model._meta.get_field("key").max_length
    return rows.filter(key=term) if len(term) <= longest and "\x00" not in term else rows.none()
