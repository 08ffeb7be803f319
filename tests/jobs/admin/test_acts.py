"""Buttons, bulk actions and confirmation: shown before it is done, done with a reason, recorded, reported."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

import jobs
from jobs.control import Actor
from jobs.models import DeadLetter, Job, OperatorAction, Queue, Schedule, Workflow
from jobs.steering import create_schedule
from tests.jobs.admin.world import KIND, World, dead_job, said, snapshot


def act(client: Client, model: str, name: str, keys: Any, **fields: Any) -> Any:
    return client.post(
        f"/admin/jobs/{model}/_act/{name}/", {"keys": keys, "confirmed": "yes", "reason": "because", **fields}
    )


def test_a_bulk_action_asks_first_and_shows_what_it_will_leave_alone(
    world: World, as_operator: Client
) -> None:
    before = snapshot()
    chosen = [world.available, world.scheduled, world.dead]
    answer = as_operator.post(
        "/admin/jobs/job/", {"action": "cancel", "_selected_action": chosen, "index": "0"}
    )
    assert answer.status_code == 200
    assert (answer.context["possible_count"], answer.context["refused_count"]) == (2, 1)
    assert f"#{world.dead} {KIND} is dead" in answer.content.decode()
    assert snapshot() == before


def test_cancel_reports_what_was_done_and_what_was_refused(world: World, as_operator: Client) -> None:
    answer = act(as_operator, "job", "cancel", f"{world.available},{world.scheduled},{world.dead}")
    assert "done for 2 jobs" in said(answer)
    assert f"job {world.dead} is dead and cannot be cancelled" in said(answer)
    assert set(Job.objects.filter(state="cancelled").values_list("pk", flat=True)) == {
        world.available,
        world.scheduled,
    }


def test_a_dead_letter_needs_a_reason(world: World, as_operator: Client) -> None:
    for name in ("replay", "discard"):
        answer = act(as_operator, "deadletter", name, world.dead, reason="  ", attempts="1")
        assert answer.status_code == 200
        assert "reason" in answer.context["form"].errors
    assert DeadLetter.objects.filter(pk=world.dead).exists()


@pytest.mark.parametrize(
    ("name", "until"), [("replay", "until it has started"), ("discard", "as long as it is kept")]
)
def test_what_can_be_taken_back_says_until_when(
    world: World, as_operator: Client, name: str, until: str
) -> None:
    told = said(act(as_operator, "deadletter", name, world.dead, attempts="1"))
    assert f"take it back</a>, {until}." in told


def test_replay_is_done_and_recorded_with_who_and_why(world: World, as_operator: Client) -> None:
    answer = act(as_operator, "deadletter", "replay", world.dead, reason="fixed the file", attempts="4")
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/jobs/deadletter/"
    job = Job.objects.get(pk=world.dead)
    assert (job.state, job.max_attempts) == ("available", 7)
    entry = OperatorAction.objects.get(action="replay", target_id=str(world.dead))
    assert (entry.actor_name, entry.reason) == ("olga", "fixed the file")
    page = as_operator.get(f"/admin/jobs/job/{world.dead}/change/").content.decode()
    assert "fixed the file" in page


def test_all_dead_letters_that_fit_can_be_chosen_at_once(
    as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.deadletters.DeadLetterAdmin.list_per_page", 2)
    other = dead_job(error="TypeError")
    same = [dead_job() for _ in range(5)]
    url = "/admin/jobs/deadletter/?error=ValueError"
    assert b"Select all 5" in as_operator.get(url).content
    body = {"action": "discard", "_selected_action": same[:2], "index": "0", "select_across": "1"}
    preview = as_operator.post(url, body, follow=True)
    assert preview.context["row"].total == 5
    assert DeadLetter.objects.count() == 6, "nothing is done before it is confirmed"
    confirm = {"reason": "pointless", "digest": preview.context["row"].digest}
    done = as_operator.post(preview.context["confirm_url"], confirm, follow=True)
    assert "5 discarded." in said(done)
    assert list(DeadLetter.objects.values_list("pk", flat=True)) == [other]


def test_the_way_back_stays_on_this_site(world: World, as_operator: Client) -> None:
    for place in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = act(as_operator, "job", "cancel", world.available, next=place)
        assert answer["Location"].startswith("/admin/jobs/job/")


@pytest.mark.parametrize("keys", ["", "x", "9" * 50, "\x00", "-1", "0", ",,,", "1;2", "999999999"])
def test_keys_of_nothing_lead_back_to_the_list(keys: str, world: World, as_operator: Client) -> None:
    before = snapshot()
    for model, name in (
        ("job", "cancel"),
        ("deadletter", "replay"),
        ("queue", "pause"),
        ("schedule", "delete"),
    ):
        answer = act(as_operator, model, name, keys, attempts="1")
        assert answer.status_code == 302
        assert "Nothing that exists was selected" in said(answer)
    assert snapshot() == before


def test_a_reason_that_cannot_be_stored_is_refused_on_its_field(world: World, as_operator: Client) -> None:
    for reason in ("a\x00b", "a\x07b", "x" * 2000):
        answer = act(as_operator, "job", "cancel", world.available, reason=reason)
        assert answer.status_code == 200
        assert "reason" in answer.context["form"].errors


def test_priority_out_of_range_is_refused(world: World, as_operator: Client) -> None:
    for value in ("101", "-101", "high", "", "9" * 400):
        answer = act(as_operator, "job", "priority", world.available, priority=value)
        assert "priority" in answer.context["form"].errors
    act(as_operator, "job", "priority", world.available, priority="50")
    assert Job.objects.get(pk=world.available).priority == 50


def test_buttons_are_those_that_are_possible(world: World, as_operator: Client, as_viewer: Client) -> None:
    def labels(client: Client, pk: int) -> list[str]:
        return [button["label"] for button in client.get(f"/admin/jobs/job/{pk}/change/").context["buttons"]]

    for pk in (world.available, world.scheduled, world.dead):
        for button in as_operator.get(f"/admin/jobs/job/{pk}/change/").context["buttons"]:
            assert as_operator.get(button["url"]).status_code == 200, button["url"]
    waiting = ["Change priority", "Move to queue", "Reschedule"]
    assert labels(as_operator, world.available) == ["Cancel", *waiting, "Release key"]
    assert labels(as_operator, world.scheduled) == ["Cancel", "Run now", *waiting]
    assert labels(as_operator, world.dead) == ["Replay", "Discard"]
    assert labels(as_viewer, world.dead) == []


def test_a_workflow_is_cancelled_once(world: World, as_operator: Client) -> None:
    act(as_operator, "workflow", "cancel", world.workflow)
    assert Workflow.objects.get(pk=world.workflow).state == "cancelled"
    assert "cannot be cancelled" in said(act(as_operator, "workflow", "cancel", world.workflow))


def test_a_queue_is_paused_with_a_reason_and_resumed(world: World, as_operator: Client) -> None:
    assert "reason" in act(as_operator, "queue", "pause", world.queue, reason="").context["form"].errors
    act(as_operator, "queue", "pause", world.queue)
    assert Queue.objects.get(pk=world.queue).paused_at is not None
    page = as_operator.get(f"/admin/jobs/job/{world.available}/change/")
    assert "Its queue, admintest, is paused, by " in page.context["waits"].reasons[0].text
    assert "already paused" in said(act(as_operator, "queue", "pause", world.queue))
    act(as_operator, "queue", "resume", world.queue, reason="")
    assert Queue.objects.get(pk=world.queue).paused_at is None


def test_a_schedule_is_run_paused_and_deleted(world: World, as_operator: Client) -> None:
    newest = jobs.submit(KIND).id
    act(as_operator, "schedule", "run", world.schedule)
    assert Job.objects.filter(pk__gt=newest, kind=KIND).count() == 1
    act(as_operator, "schedule", "pause", world.schedule)
    assert Schedule.objects.get(pk=world.schedule).paused_at is not None
    answer = act(as_operator, "schedule", "delete", world.schedule)
    assert answer["Location"] == "/admin/jobs/schedule/"
    assert not Schedule.objects.exists()


def test_unknown_acts_are_not_found(world: World, as_operator: Client) -> None:
    assert act(as_operator, "job", "explode", world.available).status_code == 404
    assert as_operator.put("/admin/jobs/job/_act/cancel/").status_code == 405


def test_what_is_done_to_one_thing_at_a_time_shows_and_does_one(world: World, as_operator: Client) -> None:
    """Two keys in the address must not be confirmed as two and done as one."""
    other = create_schedule(Actor(), name="other", kind=KIND, cron="0 0 * * *").pk
    keys = f"{world.schedule},{other}"
    assert as_operator.get(f"/admin/jobs/schedule/_act/delete/?keys={keys}").context["possible_count"] == 1
    act(as_operator, "schedule", "delete", keys)
    assert list(Schedule.objects.values_list("pk", flat=True)) == [other]


@pytest.mark.parametrize("name", ["a:b_c.d-e", "act", "add", "edit", "9", "A" * 100])
def test_queues_of_any_name_can_be_opened_changed_and_paused(name: str, as_operator: Client) -> None:
    jobs.submit(KIND, queue=name)
    page = as_operator.get(
        as_operator.get("/admin/jobs/queue/").context["cl"].url_for_result(Queue(name=name))
    )
    assert page.context["row"].pk == name
    assert as_operator.get(page.context["edit_url"]).status_code == 200
    as_operator.post(page.context["edit_url"], {"description": "mine", "ageing_seconds": "5"})
    pause = page.context["buttons"][0]["url"]
    assert as_operator.get(pause).context["possible_count"] == 1
    act(as_operator, "queue", "pause", name)
    row = Queue.objects.get(pk=name)
    assert row.description == "mine"
    assert row.paused_at is not None


def test_an_act_on_nothing_that_it_could_change_says_only_why(world: World, as_operator: Client) -> None:
    page = as_operator.get(f"/admin/jobs/job/_act/replay/?keys={world.available}").content.decode()
    assert "Replay: nothing to do" in page
    assert "is available; only dead letters can be replayed" in page
    assert "fresh attempts" not in page
    assert "of those selected" not in page
