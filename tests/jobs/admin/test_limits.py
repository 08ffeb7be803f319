"""Limits, weights and ageing of queues, paused kinds, and jobs that are moved, in the pages of operators."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

import jobs
from jobs.models import Job, OperatorAction, PausedKind, Queue
from tests.jobs.admin.test_acts import act
from tests.jobs.admin.world import KIND, PAUSED, World, said

pytestmark = pytest.mark.django_db

LIMITS = {
    "max_running": 5, "rate": 100, "rate_seconds": 60.0, "rate_burst": 10,
    "key_max_running": 1, "key_rate": 2, "key_rate_seconds": 0.5, "key_rate_burst": 3,
}  # fmt: skip


def change(client: Client, **fields: Any) -> Any:
    body = dict.fromkeys(("ageing_seconds", "weight", *LIMITS), "") | {"description": "d", **fields}
    return client.post("/admin/jobs/queue/admintest/edit/", body)


def test_limits_are_set_shown_in_list_and_page_and_taken_off(world: World, as_operator: Client) -> None:
    assert change(as_operator, ageing_seconds=5, weight=7, **LIMITS).status_code == 302
    row = Queue.objects.get(pk=world.queue)
    assert {name: getattr(row, name) for name in LIMITS} == LIMITS
    assert (row.weight, row.ageing_seconds) == (7, 5.0)
    listed = as_operator.get("/admin/jobs/queue/").content.decode()
    assert "5 at once, 100 in 1 min, 1 at once per key, 2 in 500 ms per key" in listed
    facts = dict(as_operator.get(f"/admin/jobs/queue/{world.queue}/change/").context["facts"])
    assert facts["At once"] == "5, of which 0 run"
    assert facts["Rate"] == "100 in 1 min, 10 at once"
    assert facts["Rate of a key"] == "2 in 500 ms, 3 at once"
    change(as_operator)
    row.refresh_from_db()
    assert (row.max_running, row.key_rate, row.weight, row.rate_seconds) == (None, None, 7, 60.0)
    facts = dict(as_operator.get(f"/admin/jobs/queue/{world.queue}/change/").context["facts"])
    assert (facts["At once"], facts["Ageing"]) == ("no limit", "off: strict priority")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_running", "0"),
        ("rate", "many"),
        ("weight", "101"),
        ("rate_seconds", "-1"),
        ("key_rate", "9" * 30),
    ],
)
def test_a_limit_that_is_none_is_refused_on_its_field(
    field: str, value: str, world: World, as_operator: Client
) -> None:
    answer = change(as_operator, **{field: value})
    assert list(answer.context["form"].errors) == [field]
    assert not OperatorAction.objects.filter(target_type="queue").exists()


def test_a_kind_is_paused_through_its_form_and_resumed_from_the_list(
    world: World, as_operator: Client
) -> None:
    def pause(**fields: str) -> Any:
        return as_operator.post("/admin/jobs/pausedkind/pause/", fields)

    assert f"The kind {KIND} is paused." in said(pause(kind=KIND, reason="wrong figures"))
    assert "already paused" in str(pause(kind=KIND, reason="").context["form"].errors["kind"])
    assert "kind" in pause(kind="no name", reason="").context["form"].errors
    page = as_operator.get(f"/admin/jobs/pausedkind/{KIND}/change/")
    assert dict(page.context["facts"])["Reason"] == "wrong figures"
    assert "Its kind, admintest.work, is paused, by olga" in " ".join(
        reason.text
        for reason in as_operator.get(f"/admin/jobs/job/{world.available}/change/").context["waits"].reasons
    )
    both = {"action": "resume", "_selected_action": [KIND, PAUSED], "index": "0"}
    assert as_operator.post("/admin/jobs/pausedkind/", both).context["possible_count"] == 2
    assert f"Resumed: {KIND}, {PAUSED}." in said(act(as_operator, "pausedkind", "resume", f"{KIND},{PAUSED}"))
    assert not PausedKind.objects.exists()


def test_moving_suggests_the_queues_that_there_are(world: World, as_operator: Client) -> None:
    jobs.submit(KIND, queue="slow")
    page = as_operator.get(f"/admin/jobs/job/_act/move/?keys={world.available},{world.dead}")
    assert (page.context["possible_count"], page.context["refused_count"]) == (1, 1)
    assert '<option value="slow">' in page.content.decode()
    wrong = act(as_operator, "job", "move", world.available, queue="no name")
    assert "queue" in wrong.context["form"].errors
    assert "done for job" in said(act(as_operator, "job", "move", world.available, queue="slow"))
    assert Job.objects.get(pk=world.available).queue == "slow"


NEW = {"name": "fresh", "description": "", "ageing_seconds": "", "weight": "", **dict.fromkeys(LIMITS, "")}


def test_a_queue_is_made_with_its_limits_before_its_first_job(as_operator: Client) -> None:
    form = as_operator.get("/admin/jobs/queue/new/")
    assert [title for title, _ in form.context["form"].sections][1:] == [
        "Order",
        "Limits of the whole queue",
        "Limits of each concurrency key in it",
        "Record",
    ]
    assert (form.context["form"]["ageing_seconds"].value(), form.context["form"]["weight"].value()) == (60, 1)
    assert "Empty: as it is" not in form.content.decode()
    assert 'href="/admin/jobs/queue/new/"' in as_operator.get("/admin/jobs/queue/").content.decode()
    made = as_operator.post("/admin/jobs/queue/new/", NEW | {"max_running": "2", "ageing_seconds": "30"})
    assert made["Location"] == "/admin/jobs/queue/fresh/change/"
    row = Queue.objects.get(pk="fresh")
    assert (row.max_running, row.ageing_seconds, row.weight, row.rate_seconds) == (2, 30.0, 1, 1.0)
    jobs.submit(KIND, queue="fresh")
    row.refresh_from_db()
    assert row.max_running == 2, "the first job finds the queue and leaves it as it is"
    action = OperatorAction.objects.get(target_type="queue")
    assert (action.action, action.target_id, action.before, action.after["max_running"]) == (
        "create",
        "fresh",
        {},
        2,
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "no name"}, "name"),
        ({"name": "admintest"}, "name"),
        ({"max_running": "0"}, "max_running"),
        ({"rate_seconds": "0.00001"}, "rate_seconds"),
    ],
)
def test_a_queue_that_cannot_be_made_is_refused_on_its_field(
    fields: dict[str, str], field: str, world: World, as_operator: Client
) -> None:
    before = list(Queue.objects.order_by("pk").values())
    answer = as_operator.post("/admin/jobs/queue/new/", NEW | fields)
    assert list(answer.context["form"].errors) == [field]
    assert list(Queue.objects.order_by("pk").values()) == before
    assert not OperatorAction.objects.filter(target_type="queue").exists()


def test_a_viewer_may_not_make_a_queue(as_viewer: Client) -> None:
    assert "queue/new" not in as_viewer.get("/admin/jobs/queue/").content.decode()
    assert as_viewer.post("/admin/jobs/queue/new/", NEW).status_code == 403
    assert not Queue.objects.exists()
