"""Pages of dead letters: groups, choosing a set, preview and confirmation, runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

import jobs
from jobs import letter_runs
from jobs.database import django_cursor
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun
from tests.jobs.admin.conftest import _person
from tests.jobs.admin.world import World, group_of, said, snapshot
from tests.jobs.letters import dead

Login = Callable[[User], Client]


def choose(client: Client, **fields: Any) -> DeadLetterRun:
    answer = client.post("/admin/jobs/deadletterrun/new/", {"action": "replay", **fields})
    assert answer.status_code == 302, answer.context["form"].errors
    run = DeadLetterRun.objects.latest("pk")
    assert answer["Location"] == f"/admin/jobs/deadletterrun/{run.pk}/change/"
    return run


def confirm(client: Client, run: DeadLetterRun, **fields: Any) -> Any:
    body = {"digest": run.digest, "reason": "mended", "attempts": "1", **fields}
    return client.post(f"/admin/jobs/deadletterrun/{run.pk}/confirm/", body)


def test_a_group_is_listed_shown_owned_and_noted(as_operator: Client, operator: User) -> None:
    dead(2)
    page = as_operator.get("/admin/jobs/deadlettergroup/").content.decode()
    assert "ValueError: boom" in page
    url = f"/admin/jobs/deadlettergroup/{'f' * 32}"
    shown = as_operator.get(f"{url}/change/")
    assert dict(shown.context["facts"])["Letters"] == "2"
    assert [button["label"] for button in shown.context["buttons"]] == ["Replay …", "Discard …"]
    assert as_operator.get(f"{url}/live/").status_code == 200
    as_operator.post(f"{url}/edit/", {"owner": "olga", "note": "the <b>disk</b> was full"})
    group = DeadLetterGroup.objects.get()
    assert (group.owner, group.note) == (operator, "the <b>disk</b> was full")
    changed = as_operator.get(f"{url}/change/").content.decode()
    assert "the &lt;b&gt;disk&lt;/b&gt; was full" in changed
    wrong = as_operator.post(f"{url}/edit/", {"owner": "nobody-of-that-name", "note": ""})
    assert "owner" in wrong.context["form"].errors
    for query in ("letters=some", "owner=me", "q=Value", "error=Value"):
        assert as_operator.get(f"/admin/jobs/deadlettergroup/?{query}").context["cl"].result_list == [group]
    assert as_operator.get("/admin/jobs/deadlettergroup/?q=%00").status_code in (200, 302)
    for query in ("letters=none", "owner=nobody", "q=zzz", "error=Type"):
        assert as_operator.get(f"/admin/jobs/deadlettergroup/?{query}").context["cl"].result_list == []


def test_a_set_is_chosen_previewed_confirmed_and_taken_back(as_operator: Client) -> None:
    ids = dead(3)
    dead(1, fingerprint="e" * 32, error="TypeError")
    form = as_operator.get(f"/admin/jobs/deadletterrun/new/?action=replay&fingerprint={'f' * 32}")
    assert form.context["form"]["fingerprint"].value() == "f" * 32
    run = choose(as_operator, fingerprint="f" * 32)
    page = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/")
    assert page.context["preview"].parts == [("test.echo", "test", 3)]
    assert "no live worker knows the kind test.echo" in " ".join(page.context["preview"].sentences)
    assert "reason" in confirm(as_operator, run, reason="").context["form"].errors
    assert DeadLetter.objects.count() == 4
    assert "3 replayed." in said(confirm(as_operator, run))
    assert "already" in said(confirm(as_operator, run))
    after = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/")
    assert after.context["outcomes"] == [("available", 3)]
    assert [button["label"] for button in after.context["buttons"]] == ["Undo"]
    back = as_operator.post(
        "/admin/jobs/deadletterrun/_act/undo/", {"keys": run.pk, "confirmed": "yes", "reason": "too soon"}
    )
    assert "done for 3 jobs" in said(back)
    assert DeadLetter.objects.filter(pk__in=ids).count() == 3


def test_a_run_with_a_canary_is_watched_paused_and_stopped(as_operator: Client) -> None:
    dead(3)
    run = choose(as_operator)
    assert "workers go on" in said(confirm(as_operator, run, canary="on", per_minute="30"))
    with django_cursor() as cursor:
        letter_runs.advance_next(cursor)
    page = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/")
    assert [button["label"] for button in page.context["buttons"]] == ["Pause", "Stop", "Undo"]
    assert page.context["live_topic"] == f"deadletters:{run.pk}"
    live = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/live/").content.decode()
    assert 'data-count="waiting">2<' in live
    for act, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        body = {"keys": run.pk, "confirmed": "yes", "reason": "because"}
        as_operator.post(f"/admin/jobs/deadletterrun/_act/{act}/", body)
        assert DeadLetterRun.objects.get(pk=run.pk).state == state


@pytest.mark.parametrize(
    ("state", "passed", "waived", "words"),
    [
        ("running", False, False, "not yet completed"),
        ("paused", False, False, "not yet completed"),
        ("halted", False, False, "not completed"),
        ("running", True, False, "completed"),
        ("running", False, True, "not completed; the run was resumed all the same"),
    ],
)
def test_a_run_says_what_became_of_its_canary(
    as_operator: Client, state: str, *, passed: bool, waived: bool, words: str
) -> None:
    dead(2)
    run = choose(as_operator)
    confirm(as_operator, run, canary="on")
    DeadLetterRun.objects.update(state=state, canary_passed=passed, canary_waived=waived)
    page = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/")
    assert ("The canary has", words) in page.context["facts"]


def test_a_preview_is_seen_by_its_operator_alone(as_operator: Client, login: Login) -> None:
    dead(1)
    run = choose(as_operator)
    other = login(_person("otto", "Operators"))
    assert "There is no" in said(other.get(f"/admin/jobs/deadletterrun/{run.pk}/change/"))
    assert "There is no" in said(confirm(other, run))
    assert other.get("/admin/jobs/deadletterrun/").context["cl"].result_list == []
    assert DeadLetter.objects.count() == 1


def test_who_may_only_discard_can_neither_choose_confirm_nor_steer_a_replay(
    as_operator: Client, login: Login
) -> None:
    from django.contrib.auth.models import Permission

    dead(2)
    replay = choose(as_operator)
    confirm(as_operator, replay, per_minute="1")
    person = _person("dora", "Viewers")
    person.user_permissions.add(Permission.objects.get(codename="discard_deadletter"))
    dora = login(person)
    before = snapshot()
    assert dora.post("/admin/jobs/deadletterrun/new/", {"action": "replay"}).status_code == 403
    for act in ("pause", "stop", "undo"):
        body = {"keys": replay.pk, "confirmed": "yes", "reason": "because"}
        assert dora.post(f"/admin/jobs/deadletterrun/_act/{act}/", body).status_code == 403
    assert snapshot() == before
    assert dora.get(f"/admin/jobs/deadletterrun/{replay.pk}/change/").context["buttons"] == []
    run = choose(dora, action="discard")
    assert "2 discarded." in said(confirm(dora, run))


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "explode"},
        {"workflow": "0"},
        {"workflow": "9" * 30},
        {"died_after": "yesterday"},
        {"died_before": "1066-10-14"},
        {"kind": "a\x00b"},
        {"fingerprint": "x" * 33},
    ],
)
def test_a_set_that_makes_no_sense_is_refused_on_its_field(
    fields: dict[str, str], as_operator: Client
) -> None:
    answer = as_operator.post("/admin/jobs/deadletterrun/new/", {"action": "replay", **fields})
    assert list(answer.context["form"].errors) == list(fields)
    assert not DeadLetterRun.objects.exists()


def test_a_set_can_be_chosen_by_time(as_operator: Client) -> None:
    dead(1)
    assert choose(as_operator, died_after="2020-01-31 08:00").total == 1
    assert choose(as_operator, died_before="2020-01-31").total == 0


def test_the_list_leads_to_the_set_that_its_filters_show(world: World, as_operator: Client) -> None:
    group_of(world.dead)
    page = as_operator.get("/admin/jobs/deadletter/?error=ValueError&queue=admintest&workflow=12")
    urls = [way["url"] for way in page.context["cl"].ways]
    assert [url.partition("?")[2] for url in urls] == [
        "action=replay&error_class=ValueError&queue=admintest&workflow=12",
        "action=discard&error_class=ValueError&queue=admintest&workflow=12",
    ]
    workflow, (placed,) = jobs.submit_workflow("w", [jobs.JobSpec(kind="test.echo", key="k")])
    assert as_operator.get(f"/admin/jobs/deadletter/?workflow={workflow}").context["cl"].result_list == []
    assert placed.id


def test_a_search_offers_no_set_since_a_set_would_be_larger_than_what_is_listed(
    world: World, as_operator: Client
) -> None:
    page = as_operator.get(f"/admin/jobs/deadletter/?q=%23{world.dead}")
    assert [row.pk for row in page.context["cl"].result_list] == [world.dead]
    assert page.context["cl"].ways == []


def test_a_preview_says_how_many_changed_since_they_were_chosen(as_operator: Client) -> None:
    ids = dead(3)
    run = choose(as_operator, died_after="2020-01-31T08:00")
    act = {"keys": ids[0], "confirmed": "yes", "reason": "alone", "attempts": "1"}
    as_operator.post("/admin/jobs/deadletter/_act/replay/", act)
    page = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/")
    assert (
        "1 of them changed since they were chosen, and will be left alone."
        in page.context["preview"].sentences
    )
    assert page.context["chosen_by"] == [("died at or after", "2020-01-31 08:00:00 UTC")]
    confirm(as_operator, run, per_minute="1")
    shown = as_operator.get(f"/admin/jobs/deadletterrun/{run.pk}/change/").content.decode()
    assert "Died at or after: 2020-01-31 08:00:00 UTC" in shown
