"""Runs over dead letters in the admin: choose a set, see what would happen, confirm, watch, pause, stop, take back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone

from jobs import deadletters
from jobs.admin.base import SteeredAdmin
from jobs.admin.confirmed import Act
from jobs.admin.deadletter_acts import PAUSE, RESUME, STOP, UNDO
from jobs.admin.deadletter_forms import ConfirmDiscardForm, ConfirmReplayForm, SetForm
from jobs.admin.forms import place_error
from jobs.admin.joblist import known_queues
from jobs.control import Actor
from jobs.display import NOTHING, address, ago, badge, exact, spoken, way_to
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.letter_preview import describe, outcomes
from jobs.models import DeadLetterGroup, DeadLetterItem, DeadLetterRun, Job
from jobs.registry import registry

__all__ = ["DeadLetterRunAdmin"]

_REFUSED = 20


@admin.register(DeadLetterRun)
class DeadLetterRunAdmin(SteeredAdmin):
    """Which of its acts somebody may do depends on what the run does: `may_do`."""

    acts = (PAUSE, RESUME, STOP, UNDO)
    list_display = ("what", "status", "progress", "operator", "started", "why_short")
    page_template = "admin/jobs/deadletterrun/page.html"
    live_template = "admin/jobs/deadletterrun/live.html"
    target_type = "deadletterrun"
    live_topic = "deadletters"
    empty_title = "No runs"
    empty_text = (
        "What operators do with dead letters stands here: how far it is, what became of it, and the way back."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetterRun]:
        """Previews are for whoever made them."""
        return DeadLetterRun.objects.filter(~Q(state="previewed") | Q(operator_id=request.user.pk))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("new/", wrap(self.new_view), name="jobs_deadletterrun_new"),
            path("<int:run_id>/confirm/", wrap(self.confirm_view), name="jobs_deadletterrun_confirm"),
            *super().get_urls(),
        ]

    def offered(self, request: HttpRequest, row: Any) -> list[dict[str, str]]:
        return super().offered(request, row) if self.may_do(request, row.action) else []

    def act_on(self, request: HttpRequest, act: Act, keys: Sequence[Any]) -> HttpResponse:
        self._require_any(request)  # and `deadletters.held_run` asks for the one of this run
        return super().act_on(request, act, keys)

    def may_do(self, request: HttpRequest, action: str) -> bool:
        return bool(
            self.has_view_permission(request) and request.user.has_perm(deadletters.PERMISSIONS[action])
        )

    def _require_any(self, request: HttpRequest) -> None:
        """Who may do neither is told of the first."""
        if not any(self.may_do(request, action) for action in deadletters.PERMISSIONS):
            self.require(request, *deadletters.PERMISSIONS.values())

    # -- columns -------------------------------------------------------------------------------------------------------

    @admin.display(description="run")
    def what(self, run: DeadLetterRun) -> str:
        return str(run)

    @admin.display(description="state")
    def status(self, run: DeadLetterRun) -> str:
        return badge(run.state)

    @admin.display(description="done")
    def progress(self, run: DeadLetterRun) -> str:
        return f"{run.done:,} of {run.total:,}"

    @admin.display(description="operator")
    def operator(self, run: DeadLetterRun) -> str:
        return run.operator_name

    @admin.display(description="confirmed")
    def started(self, run: DeadLetterRun) -> str:
        return ago(run.confirmed_at)

    @admin.display(description="stands still because")
    def why_short(self, run: DeadLetterRun) -> str:
        return run.why[:120] or NOTHING

    # -- pages ---------------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, row: DeadLetterRun) -> dict[str, Any]:
        if row.state == "previewed":
            return self._preview(request, row, self._confirm_form(row))
        return _standing(row, request.user)

    def lives(self, row: DeadLetterRun) -> bool:
        return row.state != "previewed"

    def _preview(self, request: HttpRequest, row: DeadLetterRun, form: Any) -> dict[str, Any]:
        fingerprint = row.filters.get("fingerprint") if _sees_groups(request) else None
        back = (
            address(DeadLetterGroup, "change", fingerprint)
            if fingerprint
            else address(DeadLetterRun, "changelist")
        )
        return {
            "preview": describe(row),
            "expired": row.expires_at <= timezone.now(),
            "form": form,
            "confirm_url": address(DeadLetterRun, "confirm", row.pk),
            "back": back,
            "chosen_by": _chosen_by(row),
        }

    def _confirm_form(self, row: DeadLetterRun, data: Any = None) -> Any:
        return ConfirmReplayForm(data) if row.action == "replay" else ConfirmDiscardForm(data)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """Choose a set. GET shows the form, filled in from the address; POST freezes it and leads to its preview."""
        self._require_any(request)
        if request.method == "POST":
            form = SetForm(request.POST)
            if form.is_valid():
                found = self.freeze(request, form.cleaned_data["action"], form.filters, form=form)
                if found is not None:
                    return found
        else:
            form = SetForm(
                initial={name: request.GET[name] for name in SetForm.base_fields if name in request.GET}
            )
        context: dict[str, Any] = {
            "form": form,
            "kinds": list(registry),
            "queues": known_queues(),
            "submit": "Preview",
            "back": address(DeadLetterGroup if _sees_groups(request) else DeadLetterRun, "changelist"),
        }
        return self.render(
            request, "admin/jobs/deadletterrun/new.html", title="Choose dead letters", **context
        )

    def freeze(
        self, request: HttpRequest, action: str, filters: dict[str, Any], *, form: Any = None
    ) -> HttpResponse | None:
        """To the preview of a new set. None: the form says what is wrong."""
        self.require(request, deadletters.PERMISSIONS[action])
        try:
            run = deadletters.preview(Actor.of(request.user), action, filters)
        except InvalidSubmission as error:
            if form is None:
                raise
            place_error(form, error)
            return None
        return HttpResponseRedirect(address(DeadLetterRun, "change", run.pk))

    def confirm_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        self.require(request)
        row = self.found(request, str(run_id))
        if not isinstance(row, DeadLetterRun):
            return self.missing(request, str(run_id))
        self.require(request, deadletters.PERMISSIONS[row.action])
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = self._confirm_form(row, request.POST)
        if form.is_valid():
            try:
                done = deadletters.confirm(
                    Actor.of(request.user),
                    row.pk,
                    digest=request.POST.get("digest", "")[:64],
                    **form.cleaned_data,
                )
            except InvalidSubmission as error:
                place_error(form, error)
            except (ActionRefused, NotFound) as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(address(DeadLetterRun, "change", row.pk))
            else:
                _say(request, done)
                return HttpResponseRedirect(address(DeadLetterRun, "change", row.pk))
        context = {**self.page(request, row), **self._preview(request, row, form)}
        return self.render(request, self.page_template, row=row, title=str(row), **context)


def _sees_groups(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("jobs.view_deadlettergroup"))


def _say(request: HttpRequest, run: DeadLetterRun) -> None:
    if run.state == "running":
        messages.success(request, "Confirmed. The workers go on with it; this page follows.")
        return
    verb = "replayed" if run.action == "replay" else "discarded"
    messages.success(request, f"{run.done:,} {verb}.")
    if run.refused:
        messages.warning(request, f"{run.refused:,} were left alone; the reasons are below.")


def _standing(row: DeadLetterRun, reader: Any) -> dict[str, Any]:
    refused = DeadLetterItem.objects.filter(run=row, state__in=("refused", "returned")).order_by("pk")
    waiting = DeadLetterItem.objects.filter(run=row, state="chosen").count() if row.state != "finished" else 0
    handled = max(0, row.total - waiting)
    return {
        "percent": round(100 * handled / row.total) if row.total else 100,
        "waiting": waiting,
        "outcomes": outcomes(row),
        "refused": list(refused.values_list("job_id", "state", "reason")[:_REFUSED]),
        "refused_more": max(0, row.refused + row.returned - _REFUSED),
        "facts": _facts(row, waiting, reader),
        "chosen_by": _chosen_by(row),
    }


def _facts(row: DeadLetterRun, waiting: int, reader: Any) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("Operator", row.operator_name),
        ("Reason", row.reason),
        ("Confirmed", exact(row.confirmed_at)),
        ("Finished", exact(row.finished_at)),
    ]
    if row.action == "replay":
        facts.append(("Fresh attempts", row.attempts))
        if row.canary:
            job = row.canary_job
            facts.append(("Canary", NOTHING if job is None else way_to(reader, Job, job, f"#{job}")))
            facts.append(("The canary has", _fate(row)))
        if row.per_minute is not None:
            facts.append(("Jobs a minute", f"{row.per_minute:,}"))
            if row.state == "running" and waiting:
                facts.append(("Left, at this pace", spoken(60 * waiting / row.per_minute)))
    return facts


def _fate(row: DeadLetterRun) -> str:
    """What became of the canary, to follow "it has"."""
    if row.canary_passed:
        return "completed"
    if row.canary_waived:
        return "not completed; the run was resumed all the same"
    return "not yet completed" if row.state in ("running", "paused") else "not completed"


def _chosen_by(row: DeadLetterRun) -> list[tuple[str, Any]]:
    words = {
        "ids": "named one by one",
        "error_class": "error class",
        "died_after": "died at or after",
        "died_before": "died before",
    }
    return [
        (words.get(name, name), exact(datetime.fromisoformat(value)) if name.startswith("died_") else value)
        for name, value in row.filters.items()
    ]
