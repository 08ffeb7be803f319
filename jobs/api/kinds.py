"""`/kinds`: what handlers are registered for here, and which kinds are paused."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import steering
from jobs.api import examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import ReasonBody
from jobs.api.schema import operation
from jobs.errors import NotFound
from jobs.models import PausedKind
from jobs.registry import registry

__all__ = ["KindViews"]


class KindShape(serializers.Serializer[Any]):
    """A kind. One that is paused and not registered here belongs to another deployment, or to none any more."""

    name = serializers.CharField()
    queue = serializers.CharField(help_text="Its default queue; empty where it is not registered.")
    description = serializers.CharField()
    registered = serializers.BooleanField()
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_by = serializers.CharField()
    reason = serializers.CharField(help_text="Why it is paused.")


class KindListShape(serializers.Serializer[Any]):
    results = KindShape(many=True)


class KindViews(ApiViewSet):
    view_permission = "jobs.view_pausedkind"
    permissions = {"pause": "jobs.pause_kind", "resume": "jobs.pause_kind"}
    pagination_class = None
    queryset = PausedKind.objects.all()
    serializer_class = KindShape
    lookup_value_regex = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"

    @operation("List kinds", response=KindListShape, answer={"results": [examples.KIND]})
    def list(self, request: Request) -> Response:
        """By name: those registered in the web process, and those that are paused."""
        paused = {row.pk: row for row in PausedKind.objects.all()}
        names = sorted({*registry.names(), *paused})
        return Response({"results": [_told(name, paused.get(name)) for name in names]})

    @operation("Get a kind", response=KindShape, answer=examples.KIND)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One kind, by name."""
        return Response(self._kind(pk))

    @operation(
        "Pause a kind",
        request=ReasonBody,
        example={"reason": "it writes wrong figures"},
        response=KindShape,
        answer=examples.KIND,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """No worker takes another job of it, in whatever queue; what runs goes on."""
        steering.pause_kind(self.actor, pk, **self.body(ReasonBody))
        return Response(self._kind(pk))

    @operation(
        "Resume a kind",
        request=ReasonBody,
        example={"reason": "mended"},
        response=KindShape,
        answer=examples.KIND,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Workers take jobs of it again."""
        steering.resume_kind(self.actor, pk, **self.body(ReasonBody))
        return Response(_told(pk, None))

    def _kind(self, name: str) -> dict[str, Any]:
        paused = PausedKind.objects.filter(pk=name).first()
        if paused is None and name not in registry:
            raise NotFound(f'There is no kind "{name}".')
        return _told(name, paused)


def _told(name: str, paused: PausedKind | None) -> dict[str, Any]:
    kind = registry.get(name) if name in registry else None
    told = {
        "name": name,
        "queue": "" if kind is None else kind.queue,
        "description": "" if kind is None else kind.description,
        "registered": kind is not None,
        "paused_at": None if paused is None else paused.paused_at,
        "paused_by": "" if paused is None else paused.paused_by,
        "reason": "" if paused is None else paused.reason,
    }
    return dict(KindShape(told).data)
