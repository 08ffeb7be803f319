"""Order, limits and pauses in the admin: the form of a queue, why a job waits, another place and time, paused kinds."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

import jobs
from jobs import queue_steering
from jobs.control import Actor
from jobs.models import Job, OperatorAction, PausedKind, Permit, Queue
from tests.jobs.admin.test_acts import act
from tests.jobs.admin.test_unique import facts, said, send
from tests.jobs.admin.world import KIND, World

pytestmark = pytest.mark.django_db

LIMITS = {"weight": 7, "max_running": 5, "rate": 10, "rate_seconds": 60.0, "rate_burst": 2, "key_max_running": 1,
          "key_rate": 3, "key_rate_seconds": 1.5, "key_rate_burst": 4, "ageing_seconds": 30.0}  # fmt: skip


def edit(client: Client, queue: str, **fields: Any) -> Any:
    return client.post(f"/admin/jobs/queue/{queue}/edit/", {"description": "", "weight": "1", **fields})


def settings_of(queue: str) -> dict[str, Any]:
    found = Queue.objects.get(pk=queue)
    return {name: getattr(found, name) for name in LIMITS}


def test_the_form_of_a_queue_sets_its_limits_and_takes_them_off(world: World, as_operator: Client) -> None:
    assert edit(as_operator, world.queue, **LIMITS).status_code == 302
    assert settings_of(world.queue) == LIMITS
    Permit.objects.create(job_id=world.available, queue=world.queue, attempt=1, worker_id=1)
    shown = dict(as_operator.get(f"/admin/jobs/queue/{world.queue}/change/").context["facts"])
    assert (shown["Weight"], shown["At once"]) == ("7", "5, of which 1 run")
    assert shown["Rate"].startswith("10 in ")
    assert shown["Rate"].endswith(", 2 at once")
    assert shown["At once of a key"] == "1"
    assert shown["Rate of a key"].endswith(", 4 at once")
    assert edit(as_operator, world.queue).status_code == 302
    left = {name for name, value in settings_of(world.queue).items() if value is not None}
    assert left == {"weight", "rate_seconds", "key_rate_seconds"}, "an empty limit is none"
    entry = OperatorAction.objects.filter(target_type="queue").order_by("pk")[0]
    assert (entry.actor_name, entry.before["max_running"], entry.after["max_running"]) == ("olga", None, 5)


def test_the_form_of_a_queue_takes_a_reason_and_says_when_nothing_was_changed(
    world: World, as_operator: Client
) -> None:
    changed = edit(as_operator, world.queue, weight="2", reason="the big one")
    assert said(changed) == [("success", f"The queue {world.queue} was changed.")]
    assert OperatorAction.objects.latest("pk").reason == "the big one"
    same = edit(as_operator, world.queue, weight="2", reason="once more")
    assert "nothing was changed" in said(same)[-1][1]
    assert OperatorAction.objects.latest("pk").reason == "the big one"


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight", "0"), ("max_running", "0"), ("rate", "1.5"), ("rate_seconds", "0"), ("rate_seconds", "1e-9"),
     ("key_rate_seconds", "nan"), ("key_rate_burst", "-1"), ("ageing_seconds", "-1")],
)  # fmt: skip
def test_what_is_out_of_range_stands_on_its_field(
    world: World, as_operator: Client, field: str, value: str
) -> None:
    before = settings_of(world.queue)
    answer = edit(as_operator, world.queue, **{field: value})
    assert field in answer.context["form"].errors
    assert settings_of(world.queue) == before


def test_a_viewer_may_not_change_a_queue(world: World, as_viewer: Client) -> None:
    assert edit(as_viewer, world.queue, max_running="1").status_code == 403
    assert Queue.objects.get(pk=world.queue).max_running is None


def test_the_page_of_a_job_says_why_it_waits_and_until_when_others_may_go_first(
    world: World, as_operator: Client
) -> None:
    page = as_operator.get(f"/admin/jobs/job/{world.available}/change/").content.decode()
    assert "Why is it not running?" in page
    queue_steering.pause_queue(Actor(name="otto"), world.queue)
    queue_steering.pause_kind(Actor(name="<b>eve</b>"), KIND)
    live = as_operator.get(f"/admin/jobs/job/{world.available}/live/").content.decode()
    assert f"Its queue, {world.queue}, is paused, by otto." in live
    assert f"Its kind, {KIND}, is paused, by &lt;b&gt;eve&lt;/b&gt;." in live
    assert "not known: it depends" in live
    assert facts(as_operator, world.available)["Overtaken until"]
    dead = as_operator.get(f"/admin/jobs/job/{world.dead}/change/").content.decode()
    assert "Why is it not running?" not in dead


def test_the_form_takes_a_key_and_the_page_shows_it(as_operator: Client) -> None:
    send(as_operator, concurrency_key="customer <7> ∞")
    job = Job.objects.get()
    assert job.options == {"concurrency_key": "customer <7> ∞"}
    assert facts(as_operator, job.pk)["Concurrency key"] == "customer <7> ∞"
    assert "customer &lt;7&gt; ∞" in as_operator.get(f"/admin/jobs/job/{job.pk}/change/").content.decode()
    answer = send(as_operator, concurrency_key="x" * 201)
    assert "concurrency_key" in answer.context["form"].errors


def test_jobs_are_moved_and_rescheduled_with_a_reason(as_operator: Client) -> None:
    ids = [jobs.submit(KIND).id for _ in range(2)]
    keys = ",".join(map(str, ids))
    assert act(as_operator, "job", "move", keys, queue="slow").status_code == 302
    assert set(Job.objects.values_list("queue", flat=True)) == {"slow"}
    assert act(as_operator, "job", "reschedule", keys, scheduled_at="2199-05-01T12:30").status_code == 302
    assert {job.scheduled_at.isoformat() for job in Job.objects.all()} == {"2199-05-01T12:30:00+00:00"}
    assert act(as_operator, "job", "priority", keys, priority="-7").status_code == 302
    assert set(Job.objects.values_list("priority", flat=True)) == {-7}
    told = OperatorAction.objects.values_list("action", "reason")
    assert {("move", "because"), ("reschedule", "because"), ("change priority of", "because")} <= set(told)
    wrong = act(as_operator, "job", "move", keys, queue="no queue")
    assert "queue" in wrong.context["form"].errors


def test_a_kind_is_paused_and_resumed(as_operator: Client, as_viewer: Client) -> None:
    sent = {"kind": KIND, "reason": "wrong figures"}
    assert as_viewer.post("/admin/jobs/pausedkind/pause/", sent).status_code == 403
    answer = as_operator.post("/admin/jobs/pausedkind/pause/", sent)
    assert ("success", f"The kind {KIND} is paused.") in said(answer)
    row = PausedKind.objects.get()
    assert (row.paused_by, row.reason) == ("olga", "wrong figures")
    again = as_operator.post("/admin/jobs/pausedkind/pause/", sent)
    assert "already paused" in str(again.context["form"].errors["kind"])
    assert "kind" in as_operator.post("/admin/jobs/pausedkind/pause/", {"kind": "a b"}).context["form"].errors
    assert act(as_operator, "pausedkind", "resume", KIND).status_code == 302
    assert not PausedKind.objects.exists()
