"""Every address with every method: strangers get 401, viewers change nothing, whatever they call."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern

from jobs.api import examples
from jobs.api.urls import urlpatterns
from jobs.models import Schedule, WorkerProcess

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
BODIES: dict[str, Any] = {
    "jobs": examples.JOB_REQUEST,
    "bulk": {"jobs": [examples.JOB_REQUEST]},
    "workflows": examples.WORKFLOW_REQUEST,
    "schedules": examples.SCHEDULE_REQUEST,
    "priority": {"priority": 1},
    "move": {"queue": "elsewhere"},
    "reschedule": {"scheduled_at": "2035-01-01T00:00:00Z"},
    "replay": {"reason": "r"},
    "discard": {"reason": "r"},
    "notes": {"description": "changed"},
    "preview": {"cron": "* * * * *"},
}
"""By the last word of an address: what would work if it were allowed."""
UNSAFE_FOR_VIEWERS = {"/schedules/preview", "/schedules/preview/"}
"""POST because it has a body; it changes nothing."""


def addresses(row: int, queue: str) -> Iterator[str]:
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        path = str(pattern.pattern).removeprefix("^").removesuffix("$")
        path = path.replace("(?P<pk>[0-9]{1,19})", str(row))
        path = path.replace("(?P<pk>[A-Za-z0-9][A-Za-z0-9_.:-]{0,99})", queue)
        path = path.replace("(?P<pk>[A-Za-z0-9_.:-]{1,32})", "f" * 32)
        assert "(" not in path, path
        yield "/" + path.replace("\\", "")


def everything() -> dict[str, list[Any]]:
    """All rows of both apps, and of users and tokens."""
    models = itertools.chain(
        *(apps.get_app_config(app).get_models() for app in ("jobs", "notifications", "auth"))
    )
    return {model.__name__: sorted(map(repr, model._default_manager.values_list())) for model in models}


@pytest.fixture
def stage(operator: Any, submit: Callable[..., int]) -> int:
    """An id that names a job, a schedule, a workflow, a worker: something stands at every address."""
    job = submit("api.note")
    Schedule.objects.create(pk=job, name="s", kind="api.note", cron="0 * * * *")
    WorkerProcess.objects.create(pk=job, name="w", hostname="h", pid=1, queues=[], kinds=[], concurrency=1)
    return job


def test_the_walk_goes_everywhere(stage: int) -> None:
    found = list(addresses(stage, "notes"))
    assert len(found) > 50
    assert f"/jobs/{stage}/run-now" in found
    assert "/queues/notes/pause" in found


def test_strangers_get_401_and_are_told_how_to_log_in(anonymous: Any, stage: int) -> None:
    before = everything()
    for path, method in itertools.product([*addresses(stage, "notes"), "/no/such/thing"], METHODS):
        answer = anonymous.ask(method, path, {"reason": "r"})
        assert answer.status_code == 401, (method, path)
        assert answer["WWW-Authenticate"] == "Token"
        assert answer["Content-Type"] == "application/problem+json"
    assert everything() == before


def working_bodies(path: str, row: int) -> list[Any]:
    word = path.strip("/").rpartition("/")[2]
    if path in ("/dead-letters/replay", "/dead-letters/discard"):
        return [{"ids": [row], "reason": "r"}]
    return [{"cron": "0 0 * * *"}, examples.SCHEDULE_REQUEST] if word == str(row) else [BODIES.get(word)]


def test_viewers_change_nothing_whatever_they_call(viewer: Any, stage: int) -> None:
    before = everything()
    for path, method in itertools.product(addresses(stage, "notes"), METHODS):
        changing = method in ("POST", "PUT", "PATCH", "DELETE")
        for body in working_bodies(path, stage) if changing else [None]:
            answer = viewer.ask(method, path, body)
            assert answer.status_code < 500, (method, path, body)
            changes = changing and path not in UNSAFE_FOR_VIEWERS
            assert not changes or answer.status_code in (403, 404, 405), (method, path, answer.content)
    assert everything() == before


def test_the_same_walk_by_somebody_who_may_changes_a_lot(operator: Any, stage: int) -> None:
    """Shows that the walk of the viewer was refused for who she is, not for what she sent."""
    deepest = sorted(
        addresses(stage, "notes"), key=len, reverse=True
    )  # a schedule is used before it is deleted
    done = {
        (method, path)
        for path, method in itertools.product(deepest, ("POST", "PUT", "PATCH", "DELETE"))
        for body in working_bodies(path, stage)
        if path[-1] != "/" and operator.ask(method, path, body).status_code < 300
    }
    # Not among them: what needs a dead letter, a workflow of that id, a job that waits for time.
    assert len(done) >= 15, sorted(done)


def test_a_user_without_any_permission_reads_nothing(stage: int) -> None:
    from tests.jobs.api.conftest import calling, person

    nobody = calling(person("nobody"))
    for path in addresses(stage, "notes"):
        answer = nobody.ask("GET", path)
        assert answer.status_code in (400, 403, 404, 405) or path == "/", path


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("submit_job", "POST", "/jobs"),
        ("submit_job", "POST", "/jobs/bulk"),
        ("submit_job", "POST", "/workflows"),
        ("cancel_job", "POST", "/jobs/{}/cancel"),
        ("run_now_job", "POST", "/jobs/{}/run-now"),
        ("reprioritise_job", "POST", "/jobs/{}/priority"),
        ("move_job", "POST", "/jobs/{}/move"),
        ("reschedule_job", "POST", "/jobs/{}/reschedule"),
        ("pause_kind", "POST", "/kinds/api.note/pause"),
        ("cancel_workflow", "POST", "/workflows/{}/cancel"),
        ("add_schedule", "POST", "/schedules"),
        ("change_schedule", "PATCH", "/schedules/{}"),
        ("change_schedule", "PUT", "/schedules/{}"),
        ("change_schedule", "POST", "/schedules/{}/run"),
        ("delete_schedule", "DELETE", "/schedules/{}"),
        ("pause_schedule", "POST", "/schedules/{}/pause"),
        ("pause_schedule", "POST", "/schedules/{}/resume"),
        ("replay_deadletter", "POST", "/dead-letters/{}/replay"),
        ("replay_deadletter", "POST", "/dead-letters/replay"),
        ("discard_deadletter", "POST", "/dead-letters/{}/discard"),
        ("discard_deadletter", "POST", "/dead-letters/discard"),
        ("pause_queue", "POST", "/queues/notes/pause"),
        ("pause_queue", "POST", "/queues/notes/resume"),
        ("change_queue", "PATCH", "/queues/notes"),
        ("change_queue", "POST", "/queues"),
    ],
)
def test_each_action_needs_its_own_permission(stage: int, permission: str, method: str, path: str) -> None:
    """Somebody with all permissions but this one is told which is missing, before the body is read."""
    from django.contrib.auth.models import Permission

    from tests.jobs.api.conftest import calling, person

    user = person("almost")
    user.user_permissions.set(Permission.objects.exclude(codename=permission))
    answer = (
        calling(user).raw(path.format(stage), b"{")
        if method == "POST"
        else calling(user).ask(method, path.format(stage))
    )
    assert answer.status_code == 403
    assert f"jobs.{permission}" in answer.json()["detail"]


def test_a_session_needs_a_csrf_token_to_change_something(operator: Any) -> None:
    user = User.objects.get(username="olga")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.get("/api/v1/jobs").status_code == 200
    refused = browser.post("/api/v1/jobs", {"kind": "api.note"}, content_type="application/json")
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    browser.get("/admin/")
    browser.get("/api/v1/jobs")
    token = "a" * 32
    browser.cookies["csrftoken"] = token
    made = browser.post(
        "/api/v1/jobs", {"kind": "api.note"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert made.status_code == 201


@pytest.mark.parametrize("key", ["wrong", "", "a b", "a\x00b", "ö", "x" * 5000])
def test_a_wrong_token_is_a_401(anonymous: Any, key: str) -> None:
    anonymous.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert anonymous.ask("GET", "/jobs").status_code == 401


def test_a_deactivated_user_is_out_at_once(viewer: Any) -> None:
    User.objects.filter(username="vera").update(is_active=False)
    assert viewer.ask("GET", "/jobs").status_code == 401


def test_a_session_cookie_with_a_nul_is_no_login(db: None) -> None:
    browser = Client(raise_request_exception=False)
    answer = browser.get("/api/v1/jobs", headers={"cookie": 'sessionid="aaaaaaaaaaaa\\000"'})
    assert answer.status_code == 401
