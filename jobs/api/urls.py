"""Addresses of the API, without a slash at the end; with one they work too, but are not in the description."""

from __future__ import annotations

from typing import Any, cast

from django.urls import URLPattern, re_path
from rest_framework.routers import SimpleRouter

from jobs.api.deadletter_runs import GroupViews, RunViews
from jobs.api.deadletters import DeadLetterViews
from jobs.api.events import EventViews
from jobs.api.jobs import JobViews
from jobs.api.kinds import KindViews
from jobs.api.queues import QueueViews, WorkerViews
from jobs.api.root import Nowhere, RootViews
from jobs.api.schedules import ScheduleViews
from jobs.api.workflows import WorkflowViews

__all__ = ["app_name", "urlpatterns"]

app_name = "api-v1"

_router = SimpleRouter(trailing_slash=False)
_router.register("jobs", JobViews, basename="jobs")
_router.register("workflows", WorkflowViews, basename="workflows")
_router.register("schedules", ScheduleViews, basename="schedules")
_router.register("dead-letter-groups", GroupViews, basename="dead-letter-groups")
_router.register("dead-letter-runs", RunViews, basename="dead-letter-runs")
_router.register("dead-letters", DeadLetterViews, basename="dead-letters")
_router.register("queues", QueueViews, basename="queues")
_router.register("kinds", KindViews, basename="kinds")
_router.register("workers", WorkerViews, basename="workers")
_router.register("events", EventViews, basename="events")


def _with_slash(pattern: URLPattern) -> URLPattern:
    """The same view for people who end every address with a slash."""
    view: Any = pattern.callback
    options = {**view.initkwargs, "schema": None}
    regex = str(pattern.pattern).removesuffix("$") + "/$"
    return re_path(regex, view.cls.as_view(view.actions, **options))


_addresses = cast("list[URLPattern]", _router.urls)  # no resolver among them: nothing is included

urlpatterns: list[URLPattern] = [
    re_path(r"^$", RootViews.as_view({"get": "list"}, basename="api"), name="root"),
    *_addresses,
    *[_with_slash(pattern) for pattern in _addresses],
    re_path(r"", Nowhere.as_view({"get": "list"}, basename="nowhere")),
]
