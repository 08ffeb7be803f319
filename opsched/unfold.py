"""The look of the admin: names, navigation with permissions, badges that count up to a cap.

The settings import this, so nothing here may touch a model while it is imported.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse

__all__ = ["UNFOLD", "dashboard", "navigation"]

_BADGE_CAP = 1000


def _page(request: HttpRequest, title: str, icon: str, model: str) -> dict[str, Any]:
    allowed = request.user.has_perm(f"jobs.view_{model}")
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:jobs_{model}_changelist"),
        "permission": lambda _: allowed,
    }


def _dead_letters(request: HttpRequest) -> dict[str, Any]:
    """With how many wait for somebody; the count stops at a cap, so that it costs the same on every page."""
    from jobs.models import DeadLetter

    item = _page(request, "Dead letters", "report", "deadletter")
    if request.user.has_perm("jobs.view_deadletter"):
        count = DeadLetter.objects.order_by()[: _BADGE_CAP + 1].count()
        if count:
            item["badge"] = f"{count:,}" if count <= _BADGE_CAP else f"{_BADGE_CAP:,}+"
    return item


def _operations(request: HttpRequest) -> list[dict[str, Any]]:
    try:
        link = reverse("operations")
    except NoReverseMatch:
        return []
    allowed = request.user.has_perm("jobs.view_job")
    return [{"title": "Operations", "icon": "monitoring", "link": link, "permission": lambda _: allowed}]


def _accounts(request: HttpRequest) -> list[dict[str, Any]]:
    found = []
    for model, title, icon in (("user", "Users", "person"), ("group", "Groups", "group")):
        allowed = request.user.has_perm(f"auth.view_{model}")
        link = reverse(f"admin:auth_{model}_changelist")
        found.append(
            {"title": title, "icon": icon, "link": link, "permission": lambda _, allowed=allowed: allowed}
        )
    return found


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections of the side bar; unfold hides what has no permission, and sections without any entry."""
    return [
        {
            "title": "Work",
            "items": [
                *_operations(request),
                _page(request, "Jobs", "work", "job"),
                _page(request, "Workflows", "account_tree", "workflow"),
                _dead_letters(request),
                _page(request, "Dead letters by error", "category", "deadlettergroup"),
                _page(request, "Replays and discards", "replay", "deadletterrun"),
            ],
        },
        {
            "title": "Steering",
            "items": [
                _page(request, "Schedules", "schedule", "schedule"),
                _page(request, "Queues", "stacks", "queue"),
                _page(request, "Paused kinds", "pause_circle", "pausedkind"),
                _page(request, "Workers", "memory", "workerprocess"),
            ],
        },
        {
            "title": "Record",
            "items": [
                _page(request, "Operator actions", "history", "operatoraction"),
                _page(request, "Unique keys", "key", "uniquekey"),
                _page(request, "Idempotency keys", "repeat_one", "idempotencykey"),
            ],
        },
        {"title": "Accounts", "items": _accounts(request)},
    ]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The start page: how many jobs are in which state, each with the way to them."""
    from jobs import queries

    if request.user.has_perm("jobs.view_job"):
        jobs = reverse("admin:jobs_job_changelist")
        counts = queries.counts_by_state()
        context["states"] = [
            (state.value, count, f"{jobs}?state={state.value}") for state, count in counts.items()
        ]
    return context


UNFOLD = {
    "SITE_TITLE": "opsched",
    "SITE_HEADER": "opsched",
    "SITE_SUBHEADER": "jobs, workflows, schedules",
    "SITE_SYMBOL": "bolt",
    # Django's log of its own forms stays empty here: what operators do is in the operators' record.
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("jobs/favicon.svg")},
    ],
    "DASHBOARD_CALLBACK": "opsched.unfold.dashboard",
    "STYLES": [lambda _: static("jobs/admin.css")],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "opsched.unfold.navigation",
    },
}
