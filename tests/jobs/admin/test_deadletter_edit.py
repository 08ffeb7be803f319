"""Edit and replay: a dead letter's payload, by the fields of its kind or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic import BaseModel, Field

import jobs
from jobs import deadletters
from jobs.admin.payload_form import PayloadForm
from jobs.control import Actor
from jobs.models import DeadLetter, DeadLetterRun, Job, OperatorAction
from jobs.registry import JobKind, job, registry
from jobs.specs import prepare
from tests.jobs.admin.world import said
from tests.jobs.letters import dead


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


def test_the_fields_of_a_payload_say_what_the_model_says(letter: int, as_operator: Client) -> None:
    form = as_operator.get(f"/admin/jobs/deadletter/{letter}/edit/").context["form"]
    told = {field.label: field.help_text for field in form}
    assert told["copies"] == "How many. At least 1. Empty: 1."
    assert told["size"] == 'Empty: "A4".'
    assert told["urgent"] == told["to"] == ""
