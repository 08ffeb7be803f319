"""Paused kinds in the admin: which they are, since when and why; pause another, resume one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action

from jobs import steering
from jobs.admin.base import SteeredAdmin, needs
from jobs.admin.confirmed import Act
from jobs.admin.forms import ListedInput, OptionalReasonForm, place_error
from jobs.admin.keyset import Column, name
from jobs.control import Actor
from jobs.display import NOTHING, address, ago
from jobs.errors import ActionRefused, InvalidSubmission
from jobs.models import Job, PausedKind
from jobs.registry import NAME, registry

__all__ = ["PausedKindAdmin"]


def _resume(actor: Actor, keys: Sequence[str], *, reason: str) -> str:
    for kind in keys:
        steering.resume_kind(actor, kind, reason=reason)
    return f"Resumed: {', '.join(keys)}."


RESUME = Act(
    name="resume",
    label="Resume",
    permissions=("jobs.pause_kind",),
    consequence="Workers take jobs of these kinds again, in the order of rank.",
    run=_resume,
    refusal=lambda kind: "",
    icon="play_arrow",
    vanishes=True,
)


class PauseForm(OptionalReasonForm):
    kind = forms.CharField(
        max_length=100,
        widget=ListedInput("kinds", {"autofocus": True}),
        help_text="No worker takes another job of it, in whatever queue. What runs goes on; new jobs wait.",
    )
    field_order = ("kind", "reason")


@admin.register(PausedKind)
class PausedKindAdmin(SteeredAdmin):
    acts = (RESUME,)
    actions_list = ("pause_kind",)
    keyset = (Column(name="kind", read=name, descending=False),)
    list_display = ("kind", "since", "paused_by", "why")
    page_template = "admin/jobs/pausedkind/page.html"
    target_type = "kind"
    live_topic = ""
    empty_title = "No paused kinds"
    empty_text = "Workers take jobs of every kind they know."

    def key(self, text: str) -> Any:
        return text if NAME.match(text) else None

    @admin.display(description="paused")
    def since(self, row: PausedKind) -> str:
        return ago(row.paused_at)

    @admin.display(description="reason")
    def why(self, row: PausedKind) -> str:
        return row.reason[:120] or NOTHING

    def page_context(self, request: HttpRequest, row: PausedKind) -> dict[str, Any]:
        return {
            "jobs_url": f"{address(Job, 'changelist')}?state=available&kind={row.pk}",
            "facts": [
                ("Paused", ago(row.paused_at)),
                ("By", row.paused_by),
                ("Reason", row.reason or "none given"),
            ],
        }

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm("jobs.pause_kind"))

    @needs("jobs.pause_kind")
    @action(description="Pause kind", url_path="pause", icon="pause", permissions=["pause"])
    def pause_kind(self, request: HttpRequest) -> HttpResponse:
        form = PauseForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                steering.pause_kind(Actor.of(request.user), **form.cleaned_data)
            except InvalidSubmission as error:
                place_error(form, error)
            except ActionRefused as error:
                form.add_error("kind", error.reason)
            else:
                messages.success(request, f"The kind {form.cleaned_data['kind']} is paused.")
                return HttpResponseRedirect(address(PausedKind, "changelist"))
        context: dict[str, Any] = {"form": form, "kinds": list(registry), "submit": "Pause"}
        back = address(PausedKind, "changelist")
        return self.render(
            request, "admin/jobs/pausedkind/form.html", title="Pause a kind", back=back, **context
        )
