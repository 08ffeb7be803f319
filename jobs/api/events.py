"""`/events`: the event log by request, for clients that cannot hold a stream open."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.api import examples
from jobs.api.base import ApiViewSet
from jobs.api.fields import JsonObject
from jobs.api.schema import operation, parameter
from jobs.models import Job
from notifications import topics
from notifications.errors import BadTopics, Forbidden
from notifications.log import LogEvent, read_after

__all__ = ["EventViews"]

_DEFAULT, _MOST = 100, 200
_LONGEST = 100


class EventShape(serializers.Serializer[Any]):
    position = serializers.CharField()
    kind = serializers.CharField()
    topics = serializers.ListField(child=serializers.CharField())
    data = JsonObject()  # type: ignore[assignment] # a field of ours, not DRF's property
    at = serializers.DateTimeField()


class EventsShape(serializers.Serializer[Any]):
    """`reset`: the position asked for is not known any more; look at the state again and go on from `position`."""

    events = EventShape(many=True)
    position = serializers.CharField(help_text="Pass it as `after` next time.")
    more = serializers.BooleanField(help_text="Is there more to read right now?")
    reset = serializers.BooleanField()


class EventViews(ApiViewSet):
    """Which topics a user may read is decided by `notifications.topics`, as for the streams."""

    parameters = {"list": ("after", "topics", "limit")}
    pagination_class = None
    queryset = Job.objects.none()  # the log is no table of rows to list

    def permission_of(self, action: str | None) -> str | None:
        return None

    @operation(
        "Read events",
        response=EventsShape,
        answer=examples.EVENTS,
        parameters=[
            parameter(
                "topics",
                "Comma-separated: `job:<id>`, `workflow:<id>`, `queue:<name>`, `ops`.",
                required=True,
            ),
            parameter("after", "The `position` of the last answer; from the oldest event kept if left out."),
            parameter("limit", f"Events at most, 1 to {_MOST}; {_DEFAULT} if left out.", int),
        ],
    )
    def list(self, request: Request) -> Response:
        """Events behind a position, in causal order, each once. Needs the right to read each of the topics."""
        wanted = self._topics(request)
        page = read_after(_position(request), wanted, _limit(request))
        return Response(
            {
                "events": [_told(event) for event in page.events],
                "position": str(page.position),
                "more": page.more,
                "reset": page.reset,
            }
        )

    def _topics(self, request: Request) -> frozenset[str]:
        try:
            wanted = topics.parse([request.query_params.get("topics", "")])
            topics.authorise(request.user, wanted)
        except BadTopics as error:
            raise ValidationError({"topics": [str(error)]}) from None
        except Forbidden as error:
            raise PermissionDenied(str(error)) from None
        return wanted

    def _known_parameters(self) -> tuple[str, ...]:
        return self.parameters["list"]


def _position(request: Request) -> str | None:
    raw = request.query_params.get("after")
    if raw is not None and len(raw) > _LONGEST:
        raise ValidationError({"after": ["is no position"]})
    return raw or None


def _limit(request: Request) -> int:
    raw = request.query_params.get("limit", str(_DEFAULT))
    if not (raw.isascii() and raw.isdigit() and len(raw) <= len(str(_MOST)) and 1 <= int(raw) <= _MOST):
        raise ValidationError({"limit": [f"must be a whole number within 1..{_MOST}"]})
    return int(raw)


def _told(event: LogEvent) -> dict[str, object]:
    return {
        "position": str(event.position),
        "kind": event.kind,
        "topics": event.topics,
        "data": event.payload,
        "at": event.at,
    }
