"""`/api/v1/` itself, and every address below it that does not exist: a problem, not a page."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs.api.base import ApiViewSet
from jobs.api.schema import operation
from jobs.models import Job

__all__ = ["COLLECTIONS", "Nowhere", "RootViews"]

COLLECTIONS = (
    "jobs",
    "workflows",
    "schedules",
    "dead-letters",
    "dead-letter-groups",
    "dead-letter-runs",
    "queues",
    "kinds",
    "workers",
    "events",
)


class RootShape(serializers.Serializer[Any]):
    """Addresses of the collections."""

    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.URLField() for name in COLLECTIONS}


class RootViews(ApiViewSet):
    pagination_class = None
    queryset = Job.objects.none()  # only says that there is no row behind it

    def permission_of(self, action: str | None) -> str | None:
        return None

    @operation(
        "What there is",
        response=RootShape,
        answer={name: f"https://ops.example.org/api/v1/{name}" for name in COLLECTIONS},
    )
    def list(self, request: Request) -> Response:
        """Addresses of the collections."""
        return Response({name: reverse(f"api-v1:{name}-list", request=request) for name in COLLECTIONS})

    def _known_parameters(self) -> tuple[str, ...]:
        return ()


class Nowhere(ApiViewSet):
    """Asks for a login first, so that it does not tell strangers what exists."""

    schema = None

    def permission_of(self, action: str | None) -> str | None:
        return None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        super().initial(request, *args, **kwargs)
        raise Http404  # here, so that every method gets it

    def list(self, request: Request) -> Response:
        raise Http404
