"""Groups of dead letters in the admin: one line for each error at one place, with its count, owner and note."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.contrib.filters.admin import DropdownFilter

from jobs.admin.base import SteeredAdmin
from jobs.admin.deadletter_forms import GroupForm
from jobs.admin.deadletters import ErrorFilter
from jobs.admin.forms import place_error
from jobs.admin.keyset import Column, moment
from jobs.control import Actor
from jobs.deadletter_steering import change_group
from jobs.deadletters import PERMISSIONS
from jobs.display import NOTHING, address, ago
from jobs.errors import InvalidSubmission, NotFound
from jobs.events import OPS
from jobs.models import DeadLetter, DeadLetterGroup
from jobs.queries import groups

__all__ = ["DeadLetterGroupAdmin"]

_SHAPE = re.compile(r"[A-Za-z0-9_.:-]{1,32}\Z")
_EDIT = "jobs.change_deadlettergroup"
_LETTERS = 20
_MESSAGE = 160


def _fingerprint(text: str) -> str:
    if not _SHAPE.match(text):
        raise ValueError(f"{text[:40]!r} is no fingerprint")
    return text


class WaitingFilter(DropdownFilter):
    title = "letters"
    parameter_name = "letters"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "with letters"), ("none", "without letters")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "some":
                return queryset.filter(letters__gt=0)
            case "none":
                return queryset.filter(letters__lte=0)
            case None | "":
                return queryset
            case _:
                return queryset.none()


class OwnerFilter(DropdownFilter):
    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "me"), ("nobody", "nobody")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "me":
                return queryset.filter(owner_id=request.user.pk)
            case "nobody":
                return queryset.filter(owner=None)
            case None | "":
                return queryset
            case _:
                return queryset.none()


@admin.register(DeadLetterGroup)
class DeadLetterGroupAdmin(SteeredAdmin):
    keyset = (
        Column(name="last_seen", read=moment),
        Column(name="fingerprint", read=_fingerprint, descending=False),
    )
    list_display = ("error", "number", "of_kinds", "first", "last", "looked_after", "remark")
    list_filter = (WaitingFilter, OwnerFilter, ErrorFilter)
    search_fields = ("fingerprint",)
    search_help_text = "Beginning of fingerprint or error"
    page_template = "admin/jobs/deadlettergroup/page.html"
    live_template = "admin/jobs/deadlettergroup/live.html"
    target_type = "deadlettergroup"
    empty_title = "No dead letters"
    empty_text = "Jobs that died of the same error at the same place stand here as one group."

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetterGroup]:
        return groups().select_related("owner")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetterGroup], search_term: str
    ) -> tuple[QuerySet[DeadLetterGroup], bool]:
        term = search_term.replace("\x00", "").strip()[:200]
        if not term:
            return queryset, False
        return queryset.filter(Q(fingerprint__startswith=term) | Q(error_class__startswith=term)), False

    def key(self, text: str) -> Any:
        return text if _SHAPE.match(text) else None

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:fingerprint>/edit/", wrap(self.edit_view), name="jobs_deadlettergroup_edit"),
            *super().get_urls(),
        ]

    # -- columns -------------------------------------------------------------------------------------------------------

    @admin.display(description="error")
    def error(self, group: DeadLetterGroup) -> str:
        text = f"{group.error_class}: {group.message}" if group.message else group.error_class
        return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"

    @admin.display(description="letters")
    def number(self, group: Any) -> str:
        return f"{max(0, group.letters):,}"

    @admin.display(description="kinds")
    def of_kinds(self, group: DeadLetterGroup) -> str:
        return _kinds(group)

    @admin.display(description="first seen")
    def first(self, group: DeadLetterGroup) -> str:
        return ago(group.first_seen)

    @admin.display(description="last seen")
    def last(self, group: DeadLetterGroup) -> str:
        return ago(group.last_seen)

    @admin.display(description="owner")
    def looked_after(self, group: DeadLetterGroup) -> str:
        return NOTHING if group.owner is None else group.owner.get_username()

    @admin.display(description="note")
    def remark(self, group: DeadLetterGroup) -> str:
        return group.note[:80] or NOTHING

    # -- page ----------------------------------------------------------------------------------------------------------

    def may_edit(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm(_EDIT))

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {**super().page(request, row), "live_topic": OPS}

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        may_see = request.user.has_perm("jobs.view_deadletter")
        letters = (
            DeadLetter.objects.filter(fingerprint=row.pk).defer("traceback").order_by("-died_at", "job_id")
        )
        newest = (
            DeadLetter.objects.filter(fingerprint=row.pk).order_by("-died_at").first() if may_see else None
        )
        return {
            "buttons": self._ways(request, row),
            "edit_url": address(DeadLetterGroup, "edit", row.pk) if self.may_edit(request) else "",
            "newest": newest,
            "letters": list(letters[:_LETTERS]) if may_see else [],
            "all_url": f"{address(DeadLetter, 'changelist')}?{urlencode({'fingerprint': row.pk})}",
            "facts": [
                ("Letters", f"{max(0, row.letters):,}"),
                ("Kinds", _kinds(row)),
                ("First seen", ago(row.first_seen)),
                ("Last seen", ago(row.last_seen)),
                ("Owner", NOTHING if row.owner is None else row.owner.get_username()),
                ("Fingerprint", row.pk),
            ],
        }

    def _ways(self, request: HttpRequest, row: Any) -> list[dict[str, str]]:
        """To the page where a set is frozen, for what this user may do."""
        if row.letters <= 0 or not request.user.has_perm("jobs.view_deadletterrun"):
            return []
        ways = []
        for action, label, icon in (("replay", "Replay …", "replay"), ("discard", "Discard …", "delete")):
            if request.user.has_perm(PERMISSIONS[action]):
                query = urlencode({"action": action, "fingerprint": row.pk})
                url = f"{reverse('admin:jobs_deadletterrun_new')}?{query}"
                danger = "danger" if action == "discard" else ""
                ways.append({"label": label, "icon": icon, "danger": danger, "url": url})
        return ways

    def edit_view(self, request: HttpRequest, fingerprint: str) -> HttpResponse:
        self.require(request, _EDIT)
        row = self.found(request, fingerprint)
        if not isinstance(row, DeadLetterGroup):
            return self.missing(request, fingerprint)
        start = {"owner": row.owner.get_username() if row.owner else "", "note": row.note}
        form = GroupForm(request.POST if request.method == "POST" else None, initial=start)
        if request.method == "POST" and form.is_valid():
            try:
                change_group(Actor.of(request.user), row.pk, **form.cleaned_data)
            except InvalidSubmission as error:
                place_error(form, error)
            except NotFound:
                return self.missing(request, fingerprint)
            else:
                messages.success(request, "Owner and note were saved.")
                return HttpResponseRedirect(address(DeadLetterGroup, "change", row.pk))
        context = {"form": form, "back": address(DeadLetterGroup, "change", row.pk), "submit": "Save"}
        return self.render(
            request, "admin/jobs/form.html", row=row, title=f"Owner and note of {row}", **context
        )


def _kinds(group: DeadLetterGroup) -> str:
    return ", ".join(group.kinds[:3]) + (f" and {len(group.kinds) - 3} more" if len(group.kinds) > 3 else "")
