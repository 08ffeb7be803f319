"""Pages of dead letters: groups, choosing a set, preview and confirmation, runs, edit and replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from pydantic import BaseModel, Field

import jobs
from jobs import deadletters, letter_runs
from jobs.admin.payload_form import PayloadForm
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun, Job, OperatorAction
from jobs.registry import JobKind, job, registry
from jobs.specs import prepare
from tests.jobs.admin.conftest import _person
from tests.jobs.admin.world import World, group_of, snapshot
from tests.jobs.letters import dead

Login = Callable[[User], Client]


def said(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


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


# -- edit and replay ---------------------------------------------------------------------------------------------------


class Address(BaseModel):
    street: str


class Letter(BaseModel):
    to: str
    copies: int = Field(1, ge=1, description="How many.")
    urgent: bool = False
    size: Literal["A4", "A5"] = "A4"
    weight: float | None = None
    address: Address | None = None
    tags: list[str] = []


@pytest.fixture
def letter(monkeypatch: pytest.MonkeyPatch, db: None) -> int:
    known: dict[str, JobKind] = dict(registry._kinds)
    monkeypatch.setattr(registry, "_kinds", known)
    job("admintest.letter", queue="test", payload_model=Letter)(lambda ctx, payload: None)
    return dead(1, kind="admintest.letter", payload={"to": "Ann", "copies": 2})[0]


def edit(client: Client, number: int, query: str = "", **fields: str) -> Any:
    body = {"reason": "wrong name", "attempts": "1", **fields}
    return client.post(f"/admin/jobs/deadletter/{number}/edit/{query}", body)


def test_a_payload_is_edited_by_the_fields_of_its_kind(letter: int, as_operator: Client) -> None:
    page = as_operator.get(f"/admin/jobs/deadletter/{letter}/edit/")
    form = page.context["form"]
    assert {field.label: field.value() for field in form if field.name.startswith("p")} == {
        "to": "Ann", "copies": 2, "urgent": None, "size": None, "weight": "", "address": "", "tags": "",
    }  # fmt: skip
    wrong = edit(as_operator, letter, p0="Ben", p1="0")
    assert wrong.context["form"].errors["p1"] == ["Input should be greater than or equal to 1"]
    assert "p5" in edit(as_operator, letter, p0="Ben", p5="{not json").context["form"].errors
    assert Job.objects.get(pk=letter).payload == {"to": "Ann", "copies": 2}
    answer = edit(as_operator, letter, p0="Ben", p1="3", p2="on", p3='"A5"', p5='{"street": "Main"}')
    assert answer["Location"] == f"/admin/jobs/job/{letter}/change/"
    found = Job.objects.get(pk=letter)
    assert found.state == "available"
    assert found.payload == {
        "to": "Ben",
        "copies": 3,
        "urgent": True,
        "size": "A5",
        "address": {"street": "Main"},
    }
    again = edit(as_operator, letter, p0="Cid")
    assert f"Job {letter} is available" in said(again)


def test_a_payload_can_be_edited_as_json_too(letter: int, as_operator: Client) -> None:
    page = as_operator.get(f"/admin/jobs/deadletter/{letter}/edit/?as=json")
    assert '"to": "Ann"' in page.context["form"]["payload"].value()
    wrong = edit(as_operator, letter, "?as=json", payload='{"copies": 3}')
    assert "To: Field required" in str(wrong.context["form"].errors["payload"])
    edit(as_operator, letter, "?as=json", payload='{"to": "Ben"}')
    assert Job.objects.get(pk=letter).payload == {"to": "Ben"}


def test_a_kind_without_a_model_has_one_field_of_json(as_operator: Client) -> None:
    (number,) = dead(1, payload={"a": [1, {"b": None}]})
    edit(as_operator, number, payload='{"a": 2}')
    assert Job.objects.get(pk=number).payload == {"a": 2}


def test_what_the_model_does_not_know_is_kept() -> None:
    data = {"reason": "r", "attempts": "1", "p0": "Ben", "rest": '{"old": 1}'}
    form = PayloadForm(data, model=Letter, payload={"to": "Ann", "old": 1})
    assert form.is_valid(), form.errors
    assert form.payload_now == {"to": "Ben", "old": 1}


class Switches(BaseModel):
    text: str
    unknown: bool | None = None
    loud: bool = True
    quick: bool = True


def test_what_was_not_touched_stays_as_it_was() -> None:
    """Browsers send CR LF for each line of a text, and a box that is not ticked not at all."""
    old = {"text": "one\ntwo", "unknown": None}
    shown = PayloadForm(model=Switches, payload=old)
    assert {field.label: field.value() for field in shown if field.name.startswith("p")} == {
        "text": "one\ntwo", "unknown": None, "loud": True, "quick": True,
    }  # fmt: skip
    data = {"reason": "r", "attempts": "1", "p0": "one\r\ntwo", "p2": "on"}
    form = PayloadForm(data, model=Switches, payload=old)
    assert form.is_valid(), form.errors
    assert form.payload_now == {**old, "loud": True, "quick": False}
    form = PayloadForm(data, model=Switches, payload={"text": "one\r\ntwo"})
    assert form.is_valid(), form.errors
    assert form.payload_now["text"] == "one\r\ntwo"


def test_a_viewer_may_not_edit(letter: int, as_viewer: Client) -> None:
    assert as_viewer.get(f"/admin/jobs/deadletter/{letter}/edit/").status_code == 403
    assert edit(as_viewer, letter, p0="Ben").status_code == 403
    assert Job.objects.get(pk=letter).state == "dead"


def test_an_edit_of_a_job_that_is_not_there_leads_back(as_operator: Client) -> None:
    for number in (4711, 2**63, 10**30):
        assert edit(as_operator, number, payload="{}")["Location"] == "/admin/jobs/deadletter/"


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """between(act): it happens after a dead letter was looked at, and before it is locked."""

    def happens(act: Callable[[], Any]) -> None:
        def slowly(spec: jobs.JobSpec) -> Any:
            checked = prepare(spec)
            act()
            return checked

        monkeypatch.setattr("jobs.deadletters.prepare", slowly)

    return happens


def test_an_edit_of_a_job_that_is_deleted_meanwhile_says_so(
    letter: int, as_operator: Client, between: Callable[[Callable[[], Any]], None]
) -> None:
    between(lambda: (DeadLetter.objects.filter(pk=letter).delete(), Job.objects.filter(pk=letter).delete()))
    answer = edit(as_operator, letter, p0="Ben")
    assert answer["Location"] == "/admin/jobs/deadletter/"
    assert said(answer) == f"Job {letter} was deleted meanwhile; nothing was replayed."
    assert not OperatorAction.objects.exists()
    assert not DeadLetterRun.objects.exists()


def test_an_edit_of_a_letter_that_is_discarded_meanwhile_says_so(
    letter: int, operator: User, as_operator: Client, between: Callable[[Callable[[], Any]], None]
) -> None:
    between(lambda: deadletters.discard(Actor.of(operator), [letter], reason="mine"))
    answer = edit(as_operator, letter, p0="Ben")
    assert answer["Location"] == f"/admin/jobs/job/{letter}/change/"
    assert f"Job {letter} is discarded; only dead letters can be replayed" in said(answer)
    assert Job.objects.get(pk=letter).payload == {"to": "Ann", "copies": 2}
    assert not OperatorAction.objects.filter(action="edit payload of").exists()


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


def test_the_fields_of_a_payload_say_what_the_model_says(letter: int, as_operator: Client) -> None:
    form = as_operator.get(f"/admin/jobs/deadletter/{letter}/edit/").context["form"]
    told = {field.label: field.help_text for field in form}
    assert told["copies"] == "How many. At least 1. Empty: 1."
    assert told["size"] == 'Empty: "A4".'
    assert told["urgent"] == told["to"] == ""
