"""`/workflows`: submit sets of jobs with edges, look at them, cancel them."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs import control, steering
from jobs.api import answers, examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import ReasonBody, WorkflowBody, spec_of
from jobs.api.filters import WorkflowFilters
from jobs.api.idempotency import idempotent
from jobs.api.schema import operation
from jobs.api.shapes import ActionShape, WorkflowDetailShape, WorkflowShape
from jobs.api.submissions import SubmittedWorkflowShape
from jobs.models import Workflow

__all__ = ["WorkflowViews"]

_SUBMITTED = {
    "id": 4,
    "name": "nightly",
    "jobs": [
        {"id": 12, "key": "extract", "state": "available"},
        {"id": 13, "key": "report", "state": "blocked"},
    ],
}


class WorkflowViews(ApiViewSet):
    view_permission = "jobs.view_workflow"
    permissions = {"create": "jobs.submit_job", "cancel": "jobs.cancel_workflow"}
    queryset = Workflow.objects.all()
    serializer_class = WorkflowShape
    filterset_class = WorkflowFilters

    @operation("List workflows", response=WorkflowShape(many=True), answer=examples.WORKFLOW)
    def list(self, request: Request) -> Response:
        """Newest first, with counts."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(WorkflowShape(page, many=True).data)

    @operation("Get a workflow", response=WorkflowDetailShape, answer={**examples.WORKFLOW, "jobs": []})
    def retrieve(self, request: Request, pk: str) -> Response:
        """A workflow with its counts, its jobs, and for each job the ids of its parents."""
        return Response(WorkflowDetailShape(self.found()).data)

    @operation(
        "Submit a workflow",
        request=WorkflowBody,
        example=examples.WORKFLOW_REQUEST,
        response=SubmittedWorkflowShape,
        answer=_SUBMITTED,
        status=201,
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Jobs with a `key` each, and `parents` as keys. All or none; a cycle is refused and named."""
        asked = self.body(WorkflowBody)
        specs = [spec_of(item) for item in asked["jobs"]]
        workflow, made = steering.submit_workflow(self.actor, asked["name"], specs)
        jobs = [{"id": job.id, "key": job.key, "state": job.state} for job in made]
        location = reverse("api-v1:workflows-detail", [workflow], request=request)
        answer = {"id": workflow, "name": asked["name"], "jobs": jobs}
        return Response(answer, status=HTTPStatus.CREATED, headers={"Location": location})

    @operation(
        "Cancel a workflow",
        request=ReasonBody,
        example={"reason": "wrong input"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Every job that has not ended is cancelled, its dead letters discarded; workers of running ones are asked."""
        asked = self.body(ReasonBody)
        return answers.of_many(control.cancel_workflow(self.actor, self.object_id, **asked))
