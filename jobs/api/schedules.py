"""`/schedules`: recurring jobs."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs import schedules as slots_of
from jobs import steering
from jobs.api import examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import PreviewBody, ReasonBody, ScheduleBody
from jobs.api.filters import ScheduleFilters
from jobs.api.idempotency import idempotent
from jobs.api.pagination import Key, as_instant
from jobs.api.schema import operation, parameter
from jobs.api.shapes import PreviewShape, ScheduleShape, SlotShape
from jobs.api.submissions import SubmittedShape
from jobs.core.errors import CoreError
from jobs.errors import InvalidSubmission
from jobs.models import Schedule, Slot

__all__ = ["ScheduleViews"]

_BY_TIME = Key(field="at", read=as_instant)
_DEFAULT_COUNT = 5


class ScheduleViews(ApiViewSet):
    view_permission = "jobs.view_schedule"
    permissions = {
        "create": "jobs.add_schedule",
        "update": "jobs.change_schedule",
        "partial_update": "jobs.change_schedule",
        "destroy": "jobs.delete_schedule",
        "pause": "jobs.pause_schedule",
        "resume": "jobs.pause_schedule",
        "run": "jobs.change_schedule",
        "slots": "jobs.view_slot",
    }
    parameters = {"slots": ("cursor", "page_size"), "destroy": ("reason",)}
    queryset = Schedule.objects.all()
    serializer_class = ScheduleShape
    filterset_class = ScheduleFilters

    @operation("List schedules", response=ScheduleShape(many=True), answer=examples.SCHEDULE)
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(ScheduleShape(page, many=True).data)

    @operation("Get a schedule", response=ScheduleShape, answer=examples.SCHEDULE)
    def retrieve(self, request: Request, pk: str) -> Response:
        """A schedule with its next and last slot."""
        return Response(ScheduleShape(self.found()).data)

    @operation(
        "Create a schedule",
        request=ScheduleBody,
        example=examples.SCHEDULE_REQUEST,
        response=ScheduleShape,
        answer=examples.SCHEDULE,
        status=201,
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """A cron expression that never fires, an unknown zone or kind, or a name in use is refused."""
        made = steering.create_schedule(self.actor, **self.body(ScheduleBody))
        location = reverse("api-v1:schedules-detail", [made.pk], request=request)
        return Response(ScheduleShape(made).data, status=HTTPStatus.CREATED, headers={"Location": location})

    @operation(
        "Replace a schedule",
        request=ScheduleBody,
        example=examples.SCHEDULE_REQUEST,
        response=ScheduleShape,
        answer=examples.SCHEDULE,
    )
    def update(self, request: Request, pk: str) -> Response:
        """What is left out gets its default again; paused stays paused."""
        fields = ScheduleBody.complete(self.body(ScheduleBody))
        return Response(ScheduleShape(steering.update_schedule(self.actor, self.object_id, **fields)).data)

    @operation(
        "Change a schedule",
        request=ScheduleBody,
        example={"cron": "30 * * * *"},
        response=ScheduleShape,
        answer=examples.SCHEDULE,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """What is left out stays; the next slot follows from the new fields."""
        fields = self.body(ScheduleBody, partial=True)
        return Response(ScheduleShape(steering.update_schedule(self.actor, self.object_id, **fields)).data)

    @operation(
        "Delete a schedule",
        response=None,
        answer=None,
        status=204,
        parameters=[parameter("reason", "Why; recorded with the action.")],
    )
    def destroy(self, request: Request, pk: str) -> Response:
        """With the list of its slots; the jobs stay."""
        reason = request.query_params.get("reason", "")
        steering.delete_schedule(self.actor, self.object_id, reason=reason)
        return Response(status=HTTPStatus.NO_CONTENT)

    @operation(
        "Pause a schedule",
        request=ReasonBody,
        example={"reason": "maintenance"},
        response=ScheduleShape,
        answer=examples.SCHEDULE,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Slots that come meanwhile are not filled, also not later."""
        asked = self.body(ReasonBody)
        return Response(ScheduleShape(steering.pause_schedule(self.actor, self.object_id, **asked)).data)

    @operation(
        "Resume a schedule",
        request=ReasonBody,
        example={"reason": "maintenance is over"},
        response=ScheduleShape,
        answer=examples.SCHEDULE,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """The next slot from now is the first to be filled again."""
        asked = self.body(ReasonBody)
        return Response(ScheduleShape(steering.resume_schedule(self.actor, self.object_id, **asked)).data)

    @operation(
        "Run a schedule's job now",
        request=ReasonBody,
        example={"reason": "needed today"},
        response=SubmittedShape,
        answer={"id": 12, "state": "available"},
        status=201,
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def run(self, request: Request, pk: str) -> Response:
        """Submits its job once, beside its slots. Needs `jobs.submit_job` too."""
        asked = self.body(ReasonBody)
        made = steering.run_schedule(self.actor, self.object_id, **asked)
        location = reverse("api-v1:jobs-detail", [made.id], request=request)
        answer = {"id": made.id, "state": made.state}
        return Response(answer, status=HTTPStatus.CREATED, headers={"Location": location})

    @operation("List a schedule's slots", response=SlotShape(many=True), answer=examples.SLOT, filters=False)
    @action(detail=True)
    def slots(self, request: Request, pk: str) -> Response:
        """The times that were filled, newest first, each with its job."""
        return self.page_of(Slot.objects.filter(schedule=self.found()), SlotShape, _BY_TIME)

    @operation(
        "Preview a cron expression",
        request=PreviewBody,
        example={"cron": "0 2 * * *", "timezone": "Europe/Berlin", "count": 5},
        response=PreviewShape,
        answer=examples.PREVIEW,
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """The next times of an expression in a zone. Changes nothing."""
        asked = self.body(PreviewBody)
        expression = slots_of.parse(asked["cron"], asked.get("timezone", "UTC"))
        after = asked.get("after") or timezone.now()
        slots = _slots(expression, after, asked.get("count", _DEFAULT_COUNT))
        zone = ZoneInfo(expression.timezone)
        return Response({"slots": slots, "local": [slot.astimezone(zone).isoformat() for slot in slots]})


def _slots(expression: Any, after: datetime, count: int) -> list[datetime]:
    try:
        return slots_of.next_slots(expression, after, count)
    except CoreError as error:
        raise InvalidSubmission("cron", str(error)) from None
