"""Schedules in the admin: list, page with past and coming slots, the form, pause, resume, run now, delete."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.decorators import action

from jobs import steering
from jobs.admin.base import SteeredAdmin, needs
from jobs.admin.confirmed import Act, for_one
from jobs.admin.forms import ReasonForm, place_error, zone_names
from jobs.admin.keyset import Column
from jobs.admin.schedule_form import MAX_NAME, ScheduleForm, preview
from jobs.control import Actor
from jobs.display import NOTHING, address, ago, badge, exact, pretty, spoken
from jobs.errors import InvalidSubmission, NotFound
from jobs.models import Job, Schedule, Slot
from jobs.registry import registry

__all__ = ["ScheduleAdmin"]

_SLOTS = 20


PAUSE = Act(
    name="pause",
    label="Pause",
    permissions=("jobs.pause_schedule",),
    consequence="Slots that come while it is paused are not filled, also not later.",
    run=for_one(steering.pause_schedule, "The schedule {result.name} is paused."),
    refusal=lambda row: "is paused already" if row.paused_at else "",
    icon="pause",
    form=ReasonForm,
    bulk=False,
)
RESUME = Act(
    name="resume",
    label="Resume",
    permissions=("jobs.pause_schedule",),
    consequence="The next slot after now is the first to be filled again.",
    run=for_one(steering.resume_schedule, "The schedule {result.name} goes on."),
    refusal=lambda row: "" if row.paused_at else "is not paused",
    icon="play_arrow",
    bulk=False,
)
RUN = Act(
    name="run",
    label="Run now",
    permissions=("jobs.change_schedule", "jobs.submit_job"),
    consequence="Its job is submitted once, now, beside its slots.",
    run=for_one(steering.run_schedule, "Job {result.id} was submitted."),
    refusal=lambda row: "",
    icon="bolt",
    bulk=False,
)
DELETE = Act(
    name="delete",
    label="Delete",
    permissions=("jobs.delete_schedule",),
    consequence="The schedule and the list of its slots are gone for good; jobs it submitted stay.",
    run=for_one(steering.delete_schedule, "The schedule {key} was deleted."),
    refusal=lambda row: "",
    icon="delete",
    form=ReasonForm,
    danger=True,
    bulk=False,
    vanishes=True,
)


def _name(text: str) -> str:
    if not text or len(text) > MAX_NAME or "\x00" in text:
        raise ValueError("no name of a schedule")
    return text


@admin.register(Schedule)
class ScheduleAdmin(SteeredAdmin):
    acts = (PAUSE, RESUME, RUN, DELETE)
    actions_list = ("new_schedule",)
    keyset = (Column(name="name", read=_name, descending=False),)
    list_display = ("name", "status", "kind", "cron", "zone", "next_slot", "last_slot")
    page_template = "admin/jobs/schedule/page.html"
    target_type = "schedule"
    empty_title = "No schedules"
    empty_text = "A schedule submits a job for every slot of a cron expression in a time zone."

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("preview/", wrap(self.preview_view), name="jobs_schedule_preview"),
            path("<int:schedule_id>/edit/", wrap(self.edit_view), name="jobs_schedule_edit"),
            *super().get_urls(),
        ]

    @admin.display(description="state")
    def status(self, row: Schedule) -> str:
        return badge("paused" if row.paused_at else "active")

    @admin.display(description="time zone")
    def zone(self, row: Schedule) -> str:
        return row.timezone

    @admin.display(description="next slot")
    def next_slot(self, row: Schedule) -> str:
        return NOTHING if row.paused_at else ago(row.next_slot_at)

    @admin.display(description="last slot")
    def last_slot(self, row: Schedule) -> str:
        return ago(row.last_slot_at)

    # -- page ----------------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, row: Schedule) -> dict[str, Any]:
        facts: list[tuple[str, Any]] = [
            ("Kind", row.kind),
            ("Queue", row.queue or "the kind's"),
            ("Priority", "the kind's" if row.priority is None else row.priority),
            ("Cron", row.cron),
            ("Time zone", row.timezone),
            ("After a break", row.get_misfire_display()),
            ("Catch-up window", spoken(row.catch_up_seconds)),
            ("Last slot", exact(row.last_slot_at)),
        ]
        return {
            "facts": facts,
            "preview": preview(row.cron, row.timezone),
            "payload": pretty(row.payload),
            "slots": _slots(row),
            "edit_url": address(Schedule, "edit", row.pk) if self.has_edit_permission(request) else "",
        }

    # -- forms ---------------------------------------------------------------------------------------------------------

    def has_new_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm("jobs.add_schedule"))

    def has_edit_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm("jobs.change_schedule"))

    @needs("jobs.add_schedule")
    @action(description="New schedule", url_path="new", icon="add", permissions=["new"])
    def new_schedule(self, request: HttpRequest) -> HttpResponse:
        form = ScheduleForm(request.POST if request.method == "POST" else None)
        return self._form(request, form, None)

    def edit_view(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        self.require(request, "jobs.change_schedule")
        row = self.found(request, str(schedule_id))
        if not isinstance(row, Schedule):
            return self.missing(request, str(schedule_id))
        form = ScheduleForm(request.POST if request.method == "POST" else None, initial=ScheduleForm.of(row))
        return self._form(request, form, row)

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """The next slots of what stands in the form, while it is typed. Reads nothing and writes nothing."""
        if not (self.has_new_permission(request) or self.has_edit_permission(request)):
            raise PermissionDenied
        found = preview(request.GET.get("cron", ""), request.GET.get("timezone", ""))
        return TemplateResponse(request, "admin/jobs/schedule/preview.html", {"preview": found})

    def _form(self, request: HttpRequest, form: ScheduleForm, row: Schedule | None) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            actor = Actor.of(request.user)
            try:
                saved = (
                    steering.create_schedule(actor, **form.cleaned_data)
                    if row is None
                    else steering.update_schedule(actor, row.pk, **form.cleaned_data)
                )
            except InvalidSubmission as error:
                place_error(form, error)
            except NotFound as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(address(Schedule, "changelist"))
            else:
                messages.success(
                    request, f"The schedule {saved.name} was saved; next slot {exact(saved.next_slot_at)}."
                )
                return HttpResponseRedirect(address(Schedule, "change", saved.pk))
        context = {
            "form": form,
            "kinds": list(registry),
            "zones": zone_names(),
            "preview": preview(form["cron"].value() or "", form["timezone"].value() or ""),
            "preview_url": address(Schedule, "preview"),
            "back": address(Schedule, "changelist") if row is None else address(Schedule, "change", row.pk),
        }
        title = "New schedule" if row is None else f"Change {row.name}"
        return self.render(request, "admin/jobs/schedule/form.html", row=row, title=title, **context)


def _slots(row: Schedule) -> list[dict[str, Any]]:
    """The newest slots with the states of their jobs, in two queries: a slot has no foreign key to its job."""
    slots = list(Slot.objects.filter(schedule_id=row.pk).order_by("-at")[:_SLOTS])
    states = dict(Job.objects.filter(pk__in=[slot.job_id for slot in slots]).values_list("pk", "state"))
    return [{"at": slot.at, "job": slot.job_id, "state": states.get(slot.job_id, "")} for slot in slots]
