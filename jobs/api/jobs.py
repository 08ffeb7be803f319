"""`/jobs`: submit, look at, steer single jobs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs import control, releasing, steering
from jobs.api import answers, examples
from jobs.api.bodies import BulkBody, JobBody, PriorityBody, ReasonBody, spec_of
from jobs.api.filters import JobFilters
from jobs.api.idempotency import idempotent
from jobs.api.pagination import Key, as_id
from jobs.api.placing import PlacingViews
from jobs.api.running_shapes import EffectShape, LogLineShape
from jobs.api.schema import operation
from jobs.api.shapes import (
    ActionShape,
    AttemptShape,
    JobDetailShape,
    JobShape,
)
from jobs.api.submissions import BulkShape, SubmittedShape, of_many_submitted, of_submitted
from jobs.models import Attempt, Effect, Job, LogLine
from jobs.states import State

__all__ = ["JobViews"]

# Kind, queue and times have no index of their own (DESIGN 5.3b); a page looks at this many ids for them.
_SCAN = 100_000
_UNINDEXED = (
    "kind",
    "queue",
    "created_after",
    "created_before",
    "scheduled_after",
    "scheduled_before",
)
_FEW = (State.RUNNING, State.DEAD)  # found through tables that stay small, whatever else is asked
_OLDEST_FIRST = Key(read=as_id, descending=False)


class JobViews(PlacingViews):
    view_permission = "jobs.view_job"
    permissions = {
        "create": "jobs.submit_job",
        "bulk": "jobs.submit_job",
        "cancel": "jobs.cancel_job",
        "release_key": "jobs.cancel_job",
        "run_now": "jobs.run_now_job",
        "priority": "jobs.reprioritise_job",
        "move": "jobs.move_job",
        "reschedule": "jobs.reschedule_job",
        "attempts": "jobs.view_attempt",
        "log": "jobs.view_logline",
    }
    parameters = {
        "attempts": ("cursor", "page_size"),
        "log": ("cursor", "page_size"),
        "effects": ("cursor", "page_size"),
    }
    queryset = Job.objects.all()
    serializer_class = JobShape
    filterset_class = JobFilters

    def scan_limit(self, request: Request) -> int | None:
        asked = request.query_params
        if (
            self.action != "list"
            or "workflow" in asked
            or "unique_key" in asked
            or asked.get("state") in _FEW
        ):
            return None
        completed = asked.get("state") == State.COMPLETED
        return _SCAN if completed or any(name in asked for name in _UNINDEXED) else None

    @operation("List jobs", response=JobShape(many=True), answer=examples.JOB)
    def list(self, request: Request) -> Response:
        """Newest first. Payload and result are left out.

        With a filter that has no index (kind, queue, times, completed ones) a page may hold fewer jobs than asked for,
        also none, while `next` says where to go on.
        """
        rows = self.get_queryset().defer("payload", "result", "options")
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(JobShape(page, many=True).data)

    @operation("Get a job", response=JobDetailShape, answer=examples.JOB_DETAIL)
    def retrieve(self, request: Request, pk: str) -> Response:
        """A job with payload, result, progress, error and neighbours."""
        return Response(JobDetailShape(self.found()).data)

    @operation(
        "Submit a job",
        request=JobBody,
        example=examples.JOB_REQUEST,
        response=SubmittedShape,
        answer=examples.SUBMITTED,
        status=201,
        also=(200,),
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Stores one job; `Location` is its address. A kind nobody knows is refused with the nearest name.

        With a `unique_key` that another job holds: 200 with that job (`duplicate`), or 409, as the key's policy says.
        """
        spec = spec_of(self.body(JobBody))
        made = steering.submit(self.actor, [spec])[0]
        location = reverse("api-v1:jobs-detail", [made.id], request=request)
        return of_submitted(self.actor, made, location)

    @operation(
        "Submit many jobs",
        request=BulkBody,
        example={"jobs": [examples.JOB_REQUEST]},
        response=BulkShape,
        answer=examples.BULK,
        status=201,
        also=(200,),
    )
    @action(detail=False, methods=["post"])
    @idempotent
    def bulk(self, request: Request) -> Response:
        """All or none, in the order given; errors name the item, as `jobs[3].priority`. At most 10,000 at once.

        200 where all of them were duplicates by their `unique_key`.
        """
        specs = [spec_of(item) for item in self.body(BulkBody)["jobs"]]
        made = steering.submit(self.actor, specs, name_items=True)
        return of_many_submitted(self.actor, made)

    @operation(
        "Cancel a job",
        request=ReasonBody,
        example={"reason": "wrong month"},
        response=ActionShape,
        answer=examples.ACTION,
        also=(202,),
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """A waiting job is cancelled (200); of a running one its worker is asked to stop it (202)."""
        asked = self.body(ReasonBody)
        return answers.of_one(control.cancel(self.actor, [self.object_id], **asked), self.object_id)

    @operation(
        "Run a job now",
        request=ReasonBody,
        example={"reason": "needed today"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"], url_path="run-now")
    def run_now(self, request: Request, pk: str) -> Response:
        """A scheduled or retryable job becomes available at once."""
        asked = self.body(ReasonBody)
        return answers.of_one(control.run_now(self.actor, [self.object_id], **asked), self.object_id)

    @operation(
        "Change a job's priority",
        request=PriorityBody,
        example={"priority": 50, "reason": "month end"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"])
    def priority(self, request: Request, pk: str) -> Response:
        """Of a job that waits."""
        asked = self.body(PriorityBody)
        return answers.of_one(control.set_priority(self.actor, [self.object_id], **asked), self.object_id)

    @operation(
        "Release a job's unique key",
        request=ReasonBody,
        example={"reason": "the invoice was wrong"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"], url_path="release-key")
    def release_key(self, request: Request, pk: str) -> Response:
        """The same key can be submitted again at once, whatever its scope; the job itself is left as it is."""
        asked = self.body(ReasonBody)
        return answers.of_one(releasing.release_key(self.actor, [self.object_id], **asked), self.object_id)

    @operation(
        "List a job's attempts", response=AttemptShape(many=True), answer=examples.ATTEMPT, filters=False
    )
    @action(detail=True)
    def attempts(self, request: Request, pk: str) -> Response:
        """Oldest first; the last page ends with the running or completed one."""
        job = self.found()
        self.page_key = _OLDEST_FIRST
        page: list[Any] = self.paginate_queryset(Attempt.objects.filter(job=job)) or []
        answer = self.get_paginated_response(AttemptShape(page, many=True).data)
        if answer.data["next"] is None:
            answer.data["results"] = [*answer.data["results"], *_last_attempt(job)]
        return answer

    @operation(
        "Read a job's log lines", response=LogLineShape(many=True), answer=examples.LOG_LINE, filters=False
    )
    @action(detail=True)
    def log(self, request: Request, pk: str) -> Response:
        """Oldest first. Only the newest lines of a job are kept."""
        lines: QuerySet[LogLine] = LogLine.objects.filter(job=self.found())
        return self.page_of(lines, LogLineShape, _OLDEST_FIRST)

    @operation("List a job's effects", response=EffectShape(many=True), answer=examples.EFFECT, filters=False)
    @action(detail=True)
    def effects(self, request: Request, pk: str) -> Response:
        """What `ctx.once` recorded for this job, oldest first; what another job had recorded is with that one."""
        return self.page_of(Effect.objects.filter(job=self.found()), EffectShape, _OLDEST_FIRST)


def _last_attempt(job: Job) -> list[Any]:
    """What stands on the job itself: the attempt that runs, or the one that completed."""
    if job.state not in (State.RUNNING, State.COMPLETED):
        return []
    told = {
        "id": None,
        "number": job.attempt,
        "worker_id": job.worker_id,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "outcome": job.state,
        "error_class": "",
        "message": "",
        "traceback": "",
    }
    return [AttemptShape(told).data]
