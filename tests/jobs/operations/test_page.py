"""Who may come in, what the page brings along, and how pausing a queue is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

import jobs
from jobs import live
from jobs.models import OperatorAction, Queue, WorkerProcess
from notifications import bus, topics
from notifications.errors import Forbidden

pytestmark = pytest.mark.django_db

Enter = Callable[..., Client]
SECRET = "</script><script>alert(1)</script>"


def person(*permissions: str, staff: bool = True) -> User:
    user = User.objects.create(username="-".join(permissions) or "nobody", is_staff=staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def enter() -> Enter:
    def log_in(*permissions: str, staff: bool = True) -> Client:
        client = Client()
        client.force_login(person(*permissions, staff=staff))
        return client

    return log_in


def config(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/admin/operations/").context["config"]
    return found


def test_strangers_are_sent_to_the_login() -> None:
    answer = Client().get("/admin/operations/")
    assert answer.status_code == 302
    assert answer["location"] == "/admin/login/?next=/admin/operations/"


def test_staff_without_the_permission_is_refused(enter: Enter) -> None:
    assert enter().get("/admin/operations/").status_code == 403


def test_who_is_no_staff_does_not_come_in(enter: Enter) -> None:
    assert enter("view_job", staff=False).get("/admin/operations/").status_code == 302


def test_programs_are_told_whether_to_log_in_or_to_ask_for_rights(enter: Enter) -> None:
    told = {
        client.get("/admin/operations/state").status_code: client
        for client in (Client(), enter("view_job", staff=False), enter())
    }
    assert list(told) == [401, 403]
    answer = told[403].get("/admin/operations/state")
    assert answer["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "You may not see jobs."


def test_the_state_is_complete_and_json(enter: Enter) -> None:
    jobs.submit("workflow.task", {"task": "a", "seconds": 0}, queue="slow")
    WorkerProcess.objects.create(name="w", hostname="h", pid=1, queues=[], kinds=[], concurrency=2)

    found = json.loads(enter("view_job").get("/admin/operations/state").content)

    assert found["figures"]["states"]["available"] == {"count": 1, "capped": False}
    (queue,) = [queue for queue in found["figures"]["queues"] if queue["name"] == "slow"]
    assert queue["available"] == 1
    assert queue["paused"] is False
    assert 0 <= queue["oldest_seconds"] < 60
    assert found["figures"]["workers"][0]["running"] == 0
    assert [entry["kind"] for entry in found["feed"]] == ["worker.started"]


def test_the_page_offers_pausing_only_to_those_who_may(enter: Enter) -> None:
    assert config(enter("view_job", "pause_queue"))["mayPause"] is True
    client = enter("view_job")
    assert config(client)["mayPause"] is False
    assert b"<dialog" not in client.get("/admin/operations/").content


def test_names_cannot_end_the_page_s_script(enter: Enter) -> None:
    WorkerProcess.objects.create(name=SECRET, hostname="h", pid=1, queues=[], kinds=[], concurrency=2)
    content = enter("view_job").get("/admin/operations/").content.decode()
    assert SECRET not in content
    assert "\\u003C/script\\u003E" in content


def test_pausing_needs_a_reason_and_is_recorded_with_it(enter: Enter) -> None:
    Queue.objects.create(name="mail")
    client = enter("view_job", "pause_queue")
    form = {"queue": "mail", "action": "pause"}

    assert client.post("/admin/operations/queue", {**form, "reason": "  "}).status_code == 400
    assert client.post("/admin/operations/queue", {**form, "reason": "it burns"}).json()["paused"] is True

    action = OperatorAction.objects.get()
    assert (action.action, action.target_id, action.reason) == ("pause", "mail", "it burns")
    assert Queue.objects.get().paused_at is not None


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"action": "resume", "queue": "mail"}, 409, "not paused"),
        ({"action": "pause", "queue": "mial"}, 404, "mial"),
        ({"action": "pause"}, 404, ""),
        ({"action": "drop", "queue": "mail"}, 400, "neither pause nor resume"),
        ({"action": "pause", "queue": "mail", "reason": "x" * 1001}, 400, "reason"),
    ],
)
def test_a_refusal_says_why(enter: Enter, form: dict[str, str], status: int, words: str) -> None:
    Queue.objects.create(name="mail")
    client = enter("view_job", "pause_queue")
    answer = client.post("/admin/operations/queue", {"reason": "because", **form})
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert not OperatorAction.objects.exists()


def test_who_may_not_pause_is_refused(enter: Enter) -> None:
    Queue.objects.create(name="mail")
    form = {"queue": "mail", "action": "pause", "reason": "because"}
    assert enter("view_job").post("/admin/operations/queue", form).status_code == 403
    assert Queue.objects.get().paused_at is None


def test_a_form_from_elsewhere_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("view_job", "pause_queue"))
    assert client.post("/admin/operations/queue", {"queue": "mail", "action": "pause"}).status_code == 403


@pytest.mark.parametrize("topic", ["ops", "ops:figures", "job:1", "queue:mail", "workflow:2"])
def test_topics_are_for_those_who_may_see_jobs(topic: str) -> None:
    topics.authorise(person("view_job"), [topic])
    with pytest.raises(Forbidden):
        topics.authorise(person("pause_queue"), [topic])


def test_the_figures_are_computed_once_a_second_for_all() -> None:
    source = bus.sources()[live.FIGURES]
    assert source.interval == 1.0
    assert source.compute()["queues"] == []
