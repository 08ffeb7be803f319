"""The operations page and what it asks for besides the stream: its first state, and pausing a queue.

The page is a frame; everything in it is drawn by static/jobs/operations from JSON, as text, never as markup. Decisions
are those of `jobs.steering`; here is only who may come in, and how a refusal is said.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from jobs import live, steering
from jobs.control import Actor
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.events import OPS
from jobs.operations import feed

__all__ = ["page", "state", "steer_queue"]

View = Callable[[HttpRequest], HttpResponse]
_STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidSubmission: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    ActionRefused: HTTPStatus.CONFLICT,
}


def _for_programs(view: View) -> View:
    """As the admin's own check, but answering a program: 401 and 403 as JSON instead of a page to log in."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not admin.site.has_permission(request):
            return _problem(HTTPStatus.UNAUTHORIZED, "You are not logged in any more.")
        if not request.user.has_perm("jobs.view_job"):
            return _problem(HTTPStatus.FORBIDDEN, "You may not see jobs.")
        return view(request)

    return guarded


@ensure_csrf_cookie
@require_GET
def _page(request: HttpRequest) -> HttpResponse:
    Actor.of(request.user).require("jobs.view_job")
    context = {
        **admin.site.each_context(request),
        "title": "Operations",
        "config": _config(request),
        "state": _state(),
    }
    return render(request, "jobs/operations.html", context)


page = admin.site.admin_view(_page)
"""The page itself: staff who may see jobs."""


@never_cache
@require_GET
@_for_programs
def state(request: HttpRequest) -> HttpResponse:
    """Figures and feed as of now: for a page that begins, or that lost its place in the stream."""
    return JsonResponse(_state())


@require_POST
@_for_programs
def steer_queue(request: HttpRequest) -> HttpResponse:
    """Pause or resume the queue named in the form, with a reason."""
    action, queue = request.POST.get("action"), request.POST.get("queue", "")
    reason = request.POST.get("reason", "").strip()
    if action not in ("pause", "resume"):
        return _problem(HTTPStatus.BAD_REQUEST, "The action is neither pause nor resume.")
    if not reason:
        return _problem(HTTPStatus.BAD_REQUEST, "Say why: the others will see it.")
    act = steering.pause_queue if action == "pause" else steering.resume_queue
    try:
        act(Actor.of(request.user), queue, reason=reason)
    except PermissionDenied as refusal:
        return _problem(HTTPStatus.FORBIDDEN, str(refusal))
    except (InvalidSubmission, NotFound, ActionRefused) as refusal:
        status = next(found for cause, found in _STATUS.items() if isinstance(refusal, cause))
        return _problem(status, str(refusal))
    return JsonResponse({"queue": queue, "paused": action == "pause"})


def _state() -> dict[str, Any]:
    return {"figures": live.figures(), "history": live.history(), "feed": feed.recent()}


def _config(request: HttpRequest) -> dict[str, Any]:
    """What the scripts need to know, and cannot know by themselves. No link ends at a refusal."""
    sees = request.user.has_perm
    return {
        "stream": f"{reverse('notifications:stream')}?topics={OPS},{live.FIGURES}",
        "state": reverse("operations-state"),
        "steer": reverse("operations-queue"),
        "login": f"{reverse('admin:login')}?next={reverse('operations')}",
        "user": str(request.user.pk),
        "mayPause": sees("jobs.pause_queue"),
        "links": {
            "job": _link("admin:jobs_job_change"),
            "dead": _link(f"admin:jobs_{'deadletter' if sees('jobs.view_deadletter') else 'job'}_change"),
            "workflow": _link("admin:jobs_workflow_change") if sees("jobs.view_workflow") else "",
        },
    }


def _link(name: str) -> str:
    """The address of an object with {id} in it; empty where a project has not registered that page in its admin."""
    try:
        return reverse(name, args=["0"]).replace("/0/", "/{id}/")
    except NoReverseMatch:
        return ""


def _problem(status: HTTPStatus, detail: str) -> HttpResponse:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return JsonResponse(body, status=status.value, content_type="application/problem+json")
