"""Jobs in the admin: the list, the page of a job with its live part, the form that submits one, and the acts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action

from jobs import control, rearranging, releasing, steering
from jobs.admin import job_page
from jobs.admin.base import SteeredAdmin, needs
from jobs.admin.confirmed import Act
from jobs.admin.forms import (
    MoveForm,
    PriorityForm,
    ReasonForm,
    ReplayForm,
    RescheduleForm,
    place_error,
    zone_names,
)
from jobs.admin.joblist import (
    JobChangeList,
    KindFilter,
    QueueFilter,
    StateFilter,
    WorkflowFilter,
    known_queues,
    search,
)
from jobs.admin.submitting import SubmitForm
from jobs.display import NOTHING, address, ago, badge, way_to
from jobs.errors import DuplicateJob, InvalidSubmission
from jobs.models import Job, Workflow
from jobs.registry import registry
from jobs.states import WAITING, allowed_from

__all__ = ["DISCARD", "REPLAY", "JobAdmin"]


def _only(*states: str, why: str) -> Any:
    """A refusal for jobs in any other state."""
    return lambda job: "" if job.state in states else f"is {job.state}; {why}"


CANCEL = Act(
    name="cancel",
    label="Cancel",
    permissions=("jobs.cancel_job",),
    consequence="Jobs that wait are cancelled at once. The workers of those that run are asked to stop them. "
    "Jobs of a workflow that wait for a cancelled one are skipped. This cannot be undone.",
    run=control.cancel,
    refusal=_only(*allowed_from("cancel"), why="only what waits or runs can be cancelled"),
    icon="cancel",
    danger=True,
)
RUN_NOW = Act(
    name="run_now",
    label="Run now",
    permissions=("jobs.run_now_job",),
    consequence="Jobs that wait for a time become available at once and are taken in their turn.",
    run=control.run_now,
    refusal=_only(*allowed_from("run_now"), why="only scheduled and retryable jobs wait for a time"),
    icon="play_arrow",
)
PRIORITY = Act(
    name="priority",
    label="Change priority",
    permissions=("jobs.reprioritise_job",),
    consequence="The new priority counts at once, also for jobs that are in a worker's memory already.",
    run=control.set_priority,
    refusal=_only(*WAITING, why="only the priority of waiting jobs can be changed"),
    icon="swap_vert",
    form=PriorityForm,
)
MOVE = Act(
    name="move",
    label="Move to queue",
    permissions=("jobs.move_job",),
    consequence="The jobs go to another queue at once and keep their age there. Its limits and its workers count then.",
    run=rearranging.move,
    refusal=_only(*WAITING, why="only waiting jobs can be moved"),
    icon="move_down",
    form=MoveForm,
)
RESCHEDULE = Act(
    name="reschedule",
    label="Reschedule",
    permissions=("jobs.reschedule_job",),
    consequence="The jobs start at that time or later. Those that are available wait for time again.",
    run=rearranging.reschedule,
    refusal=_only(*WAITING, why="only the time of waiting jobs can be changed"),
    icon="schedule",
    form=RescheduleForm,
)
REPLAY = Act(
    name="replay",
    label="Replay",
    permissions=("jobs.replay_deadletter",),
    consequence="The jobs get fresh attempts and become available at once. Their effects may happen again. "
    "Until a job has started, this can be undone.",
    run=control.replay,
    refusal=_only("dead", why="only dead letters can be replayed"),
    icon="replay",
    form=ReplayForm,
    bulk=False,
)
DISCARD = Act(
    name="discard",
    label="Discard",
    permissions=("jobs.discard_deadletter",),
    consequence="The jobs will never run. Jobs of a workflow that wait for them are skipped. "
    "This can be undone while the job is kept; the errors stay with the jobs.",
    run=control.discard,
    refusal=_only("dead", why="only dead letters can be discarded"),
    icon="delete",
    form=ReasonForm,
    danger=True,
    bulk=False,
)


RELEASE_KEY = Act(
    name="release_key",
    label="Release key",
    permissions=("jobs.cancel_job",),
    consequence="The job's unique key is free at once: the same work can be submitted again, also while this job is "
    "unfinished. The job itself is left as it is.",
    run=releasing.release_key,
    refusal=lambda job: "" if job_page.holds_key(job) else "holds no unique key",
    icon="key_off",
    danger=True,
    bulk=False,
)


@admin.register(Job)
class JobAdmin(SteeredAdmin):
    class Media:
        # Besides what SteeredAdmin has.
        js = ["jobs/job_said.js", Script("jobs/ages.js", type="module")]

    acts = (CANCEL, RUN_NOW, PRIORITY, MOVE, RESCHEDULE, REPLAY, DISCARD, RELEASE_KEY)
    actions_list = ("submit_job",)
    list_display = ("number", "state_badge", "kind", "queue", "priority", "tries", "created", "belongs_to")
    list_filter = (StateFilter, KindFilter, QueueFilter, WorkflowFilter)
    list_before_template = "admin/jobs/job/tabs.html"
    search_fields = ("id",)  # shows the box; get_search_results decides what it means
    search_help_text = "Number, kind, task or unique key"
    page_template = "admin/jobs/job/page.html"
    live_template = "admin/jobs/job/live.html"
    target_type = "job"
    live_topic = "job"
    empty_title = "No jobs"
    empty_text = "Jobs appear here when a program, a schedule or an operator submits them."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        # Payloads and results can have 256 KB each; lists and confirmations do not show them.
        return Job.objects.defer("payload", "result", "options")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        return search(queryset, search_term), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        return JobChangeList

    # -- columns -------------------------------------------------------------------------------------------------------

    @admin.display(description="job")
    def number(self, job: Job) -> str:
        return f"#{job.pk}"

    @admin.display(description="state")
    def state_badge(self, job: Job) -> str:
        return badge(job.state)

    @admin.display(description="attempts")
    def tries(self, job: Job) -> str:
        return f"{job.attempt} of {job.max_attempts}"

    @admin.display(description="submitted")
    def created(self, job: Job) -> str:
        return ago(job.created_at)

    @admin.display(description="workflow")
    def belongs_to(self, job: Any) -> str:
        number = job.workflow_id
        return way_to(job.reader, Workflow, number, f"workflow {number}") if number else NOTHING

    # -- page ----------------------------------------------------------------------------------------------------------

    def page_context(self, request: HttpRequest, row: Job) -> dict[str, Any]:
        return job_page.collect(row)

    # -- submit --------------------------------------------------------------------------------------------------------

    def has_submit_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm("jobs.submit_job"))

    @needs("jobs.submit_job")
    @action(description="Submit job", url_path="submit", icon="add", permissions=["submit"])
    def submit_job(self, request: HttpRequest) -> HttpResponse:
        form = SubmitForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                spec = form.spec()
                submitted = steering.submit(control.Actor.of(request.user), [spec])[0]
            except InvalidSubmission as error:
                place_error(form, error)
            except DuplicateJob as error:
                form.add_error("unique_key", error.why)
            else:
                level = messages.WARNING if submitted.duplicate else messages.SUCCESS
                messages.add_message(request, level, submitted.sentence)
                return HttpResponseRedirect(address(Job, "change", submitted.id))
        context: dict[str, Any] = {
            "form": form,
            "kinds": list(registry),
            "queues": known_queues(),
            "zones": zone_names(),
            "submit": "Submit",
            "back": address(Job, "changelist"),
        }
        return self.render(request, "admin/jobs/job/submit.html", title="Submit a job", **context)
