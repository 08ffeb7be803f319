"""`/queues` and `/workers`: what jobs wait in, and who takes them out."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs import steering
from jobs.api import examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import NewQueueBody, QueueBody, ReasonBody
from jobs.api.filters import WorkerFilters
from jobs.api.idempotency import idempotent
from jobs.api.pagination import Key, as_name
from jobs.api.schema import operation
from jobs.api.shapes import QueueShape, WorkerShape
from jobs.errors import NotFound
from jobs.models import Queue, WorkerProcess

__all__ = ["QueueViews", "WorkerViews"]


class QueueViews(ApiViewSet):
    view_permission = "jobs.view_queue"
    permissions = {
        "create": "jobs.change_queue",
        "partial_update": "jobs.change_queue",
        "pause": "jobs.pause_queue",
        "resume": "jobs.pause_queue",
    }
    queryset = Queue.objects.all()
    serializer_class = QueueShape
    lookup_value_regex = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"
    page_key = Key(read=as_name, descending=False)

    @operation("List queues", response=QueueShape(many=True), answer=examples.QUEUE)
    def list(self, request: Request) -> Response:
        """By name. A queue comes into being with its first job, or is made before it."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(QueueShape(page, many=True).data)

    @operation("Get a queue", response=QueueShape, answer=examples.QUEUE)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One queue, by name."""
        return Response(QueueShape(self._queue(pk)).data)

    @operation(
        "Make a queue",
        request=NewQueueBody,
        example={"name": "reports", "description": "Slow ones.", "max_running": 5},
        response=QueueShape,
        answer=examples.QUEUE,
        status=201,
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Before its first job, so that its limits hold for that one too. A name in use is refused (409)."""
        made = steering.create_queue(self.actor, **self.body(NewQueueBody))
        location = reverse("api-v1:queues-detail", [made.pk], request=request)
        return Response(QueueShape(made).data, status=HTTPStatus.CREATED, headers={"Location": location})

    @operation(
        "Change a queue",
        request=QueueBody,
        example={"description": "Slow ones.", "ageing_seconds": 120, "max_running": 5, "key_max_running": 1},
        response=QueueShape,
        answer=examples.QUEUE,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Description, ageing, weight, limits; what is left out stays. Jobs that wait are ranked anew.

        With `reason`, which is recorded. Where nothing changes nothing is recorded.

        A limit holds from the moment this is answered, and counts what runs already.
        """
        return Response(QueueShape(steering.change_queue(self.actor, pk, **self.body(QueueBody))).data)

    @operation(
        "Pause a queue",
        request=ReasonBody,
        example={"reason": "the mail server is down"},
        response=QueueShape,
        answer=examples.QUEUE,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """No worker takes another job from it; what runs goes on."""
        return Response(QueueShape(steering.pause_queue(self.actor, pk, **self.body(ReasonBody))).data)

    @operation(
        "Resume a queue",
        request=ReasonBody,
        example={"reason": "the mail server is back"},
        response=QueueShape,
        answer=examples.QUEUE,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Workers take from it again."""
        return Response(QueueShape(steering.resume_queue(self.actor, pk, **self.body(ReasonBody))).data)

    def _queue(self, name: str) -> Queue:
        found = Queue.objects.filter(pk=name).first()
        if found is None:
            raise NotFound(f'There is no queue "{name}".')
        return found


class WorkerViews(ApiViewSet):
    view_permission = "jobs.view_workerprocess"
    queryset = WorkerProcess.objects.all()
    serializer_class = WorkerShape
    filterset_class = WorkerFilters

    @operation("List worker processes", response=WorkerShape(many=True), answer=examples.WORKER)
    def list(self, request: Request) -> Response:
        """Newest first, also those that have stopped or were lost."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(WorkerShape(page, many=True).data)

    @operation("Get a worker process", response=WorkerShape, answer=examples.WORKER)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One worker process."""
        return Response(WorkerShape(self.found()).data)
