"""Edit a dead letter's payload and replay it: the form by the kind's model, or as JSON."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from jobs import deadletters
from jobs.admin.payload_form import PayloadForm
from jobs.control import Actor
from jobs.display import address, way_to
from jobs.errors import InvalidSubmission, NotFound
from jobs.models import DeadLetter, DeadLetterRun, Job
from jobs.registry import registry
from jobs.states import State

__all__ = ["edit_and_replay"]

# The payload is shown, so the right to see jobs is needed too.
_NEEDED = ("jobs.view_deadletter", "jobs.view_job", deadletters.PERMISSIONS["replay"])


def edit_and_replay(admin: Any, request: HttpRequest, job_id: int) -> HttpResponse:
    """GET shows the form with the payload as it is; POST replays with what was typed."""
    admin.require(request, *_NEEDED)
    job = Job.objects.filter(pk=job_id).first() if job_id < 2**63 else None
    if job is None:
        found: HttpResponse = admin.missing(request, str(job_id))
        return found
    page = address(Job, "change", job.pk)
    if job.state != State.DEAD:
        messages.error(request, f"Job {job.pk} is {job.state}: only dead letters can be edited and replayed.")
        return HttpResponseRedirect(page)
    form = _form(request, job)
    if request.method == "POST" and form.is_valid():
        try:
            result = deadletters.replay_edited(
                Actor.of(request.user),
                job.pk,
                form.payload_now,
                reason=form.cleaned_data["reason"],
                attempts=form.cleaned_data["attempts"],
            )
        except InvalidSubmission as error:
            form.place(error)
        except NotFound as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(address(DeadLetter, "changelist"))
        else:
            _say(request, job, result)
            return HttpResponseRedirect(page)
    context = {
        "form": form,
        "submit": "Replay with this payload",
        "back": page,
        "by_fields": form.by_fields,
        "other": "?as=json" if form.by_fields else "?" if _model(job) is not None else "",
        "job": job,
    }
    answer: HttpResponse = admin.render(
        request,
        "admin/jobs/deadletter/edit.html",
        row=job,
        title=f"Edit and replay {job}",
        **context,
    )
    return answer


def _model(job: Job) -> Any:
    return registry.get(job.kind).payload_model if job.kind in registry else None


def _form(request: HttpRequest, job: Job) -> PayloadForm:
    payload = job.payload if isinstance(job.payload, dict) else {}
    data = request.POST if request.method == "POST" else None
    return PayloadForm(data, model=_model(job), payload=payload, as_json=request.GET.get("as") == "json")


def _say(request: HttpRequest, job: Job, result: deadletters.LettersResult) -> None:
    if not result.done:
        why = "; ".join(refusal.reason for refusal in result.refused)
        messages.error(request, f"{why[:1].upper()}{why[1:]}.")
        return
    way = way_to(request.user, DeadLetterRun, result.run, "taken back")
    text = format_html(
        "Job {} was replayed with the new payload. Until it starts, it can be {}.", job.pk, way
    )
    messages.success(request, text)
