"""The form that submits a job with a unique key, and what the page of the job says about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

import jobs
from jobs import Unique
from jobs.control import Actor, cancel
from jobs.models import Job
from tests.jobs.admin.world import KIND

pytestmark = pytest.mark.django_db


def send(client: Client, **fields: Any) -> Any:
    empty = ["queue", "priority", "scheduled_at", "max_attempts", "timeout", "unique_scope", "unique_seconds"]
    whole = {
        "kind": KIND,
        "payload": "{}",
        "timezone": "UTC",
        "unique_policy": "return",
        **dict.fromkeys(empty, ""),
    }
    return client.post("/admin/jobs/job/submit/", {**whole, **fields})


def said(answer: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, message.message) for message in get_messages(answer.wsgi_request)]


def facts(client: Client, job: int) -> dict[str, Any]:
    return dict(client.get(f"/admin/jobs/job/{job}/change/").context["facts"])


def test_the_form_leads_to_the_job_that_holds_the_key(as_operator: Client) -> None:
    first = send(as_operator, unique_key="k")
    job = Job.objects.get()
    assert said(first) == [("success", f"Job {job.pk} was submitted: available.")]
    second = send(as_operator, unique_key="k", payload='{"n": 1}')
    assert first["Location"] == second["Location"] == f"/admin/jobs/job/{job.pk}/change/"
    assert (
        "warning",
        f"Job {job.pk}, which is available, holds this unique key: nothing new was submitted.",
    ) in said(second)
    third = send(as_operator, unique_key="k", payload='{"n": 2}', unique_policy="replace")
    assert "it has the new payload now" in said(third)[-1][1]
    assert Job.objects.get().payload == {"n": 2}


def test_a_refusal_stands_on_its_field(as_operator: Client) -> None:
    send(as_operator, unique_key="k")
    answer = send(as_operator, unique_key="k", unique_policy="refuse")
    assert f"belongs to job {Job.objects.get().pk}" in str(answer.context["form"].errors["unique_key"])


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"unique_key": "k", "unique_scope": "window"}, "unique_key", "seconds: is missing"),
        ({"unique_key": "k", "unique_seconds": "0"}, "unique_key", "seconds: must be above 0"),
        (
            {"unique_key": "k", "unique_seconds": "5", "unique_scope": "forever"},
            "unique_key",
            "seconds: goes with",
        ),
        ({"unique_key": "k", "unique_scope": "long"}, "unique_scope", "valid choice"),
        ({"unique_key": "x" * 201}, "unique_key", "200"),
        ({"unique_key": "", "unique_seconds": "5"}, "unique_key", "is missing"),
        ({"unique_key": "a\x00"}, "unique_key", "Null characters"),
    ],
)
def test_what_is_wrong_stands_on_its_field(
    as_operator: Client, fields: dict[str, str], field: str, reason: str
) -> None:
    answer = send(as_operator, **fields)
    assert answer.status_code == 200
    assert reason.lower() in str(answer.context["form"].errors[field]).lower()
    assert not Job.objects.exists()


def test_the_page_says_how_long_the_key_is_held(as_operator: Client) -> None:
    made = {
        scope: jobs.submit(
            KIND, unique_key=Unique(scope, scope=scope, seconds=60 if scope == "window" else None)
        ).id
        for scope in ("unfinished", "window", "forever")
    }
    told = {scope: str(facts(as_operator, job)["Unique key"]) for scope, job in made.items()}
    assert told["unfinished"] == "unfinished: until it has ended"
    assert told["forever"] == "forever: for ever"
    assert told["window"].startswith("window: until ")
    cancel(Actor(), made.values())
    assert facts(as_operator, made["unfinished"])["Unique key"] == "unfinished: free again"
    assert "Unique key" not in facts(as_operator, jobs.submit(KIND).id)


def test_jobs_are_found_by_their_unique_key(as_operator: Client) -> None:
    job = jobs.submit(KIND, unique_key="invoice 42").id
    jobs.submit(KIND, unique_key="invoice 43")
    page = as_operator.get("/admin/jobs/job/", {"q": "invoice 42"})
    assert [row.pk for row in page.context["cl"].result_list] == [job]


def test_a_key_is_released_on_the_page_of_its_job(as_operator: Client, as_viewer: Client) -> None:
    job = jobs.submit(KIND, unique_key="k").id

    def buttons(client: Client) -> list[str]:
        return [button["label"] for button in client.get(f"/admin/jobs/job/{job}/change/").context["buttons"]]

    assert "Release key" in buttons(as_operator)
    assert buttons(as_viewer) == []
    page = as_operator.get(f"/admin/jobs/job/{job}/change/")
    (url,) = [button["url"] for button in page.context["buttons"] if button["label"] == "Release key"]
    assert "can be submitted again" in as_operator.get(url).content.decode()
    as_operator.post(url, {"keys": job, "confirmed": "yes", "reason": "again"})
    assert "Release key" not in buttons(as_operator)
    assert facts(as_operator, job)["Unique key"] == "k: free again"
