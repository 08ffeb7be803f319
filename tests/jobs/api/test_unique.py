"""Unique keys over REST: a duplicate is answered with the job there is, a bad key is named, and a key is freed once."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from jobs.models import Job
from tests.jobs.api.conftest import Submit, calling, ids, person


def test_a_job_is_found_by_its_unique_key_which_its_page_shows(operator: Any, submit: Submit) -> None:
    job = submit(unique_key={"key": "invoice:42", "seconds": 60})
    submit(unique_key="invoice:43")
    assert ids(operator.ask("GET", "/jobs?unique_key=invoice:42")) == [job]
    assert ids(operator.ask("GET", "/jobs?unique_key=nothing")) == []
    shown = operator.ask("GET", f"/jobs/{job}").json()
    assert (shown["unique_key"]["key"], shown["unique_key"]["scope"]) == ("invoice:42", "window")
    assert shown["options"]["unique_key"]["seconds"] == 60


def test_a_duplicate_is_answered_200_or_409_and_a_new_job_201(operator: Any, viewer: Any) -> None:
    body = {"kind": "api.note", "unique_key": "k"}
    made = operator.ask("POST", "/jobs", body)
    again = operator.ask("POST", "/jobs", {**body, "payload": {"n": 2}})
    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json() == {**made.json(), "duplicate": True, "replaced": False, "result": None}
    assert again["Location"] == made["Location"]
    refused = operator.ask("POST", "/jobs", {**body, "unique_key": {"key": "k", "policy": "refuse"}})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:opsched:problem:duplicate")
    assert (refused.json()["job"], refused.json()["errors"][0]["field"]) == (made.json()["id"], "unique_key")
    many = operator.ask("POST", "/jobs/bulk", {"jobs": [body, {**body, "unique_key": "other"}]})
    assert (many.status_code, [row.get("duplicate") for row in many.json()["jobs"]]) == (201, [True, None])
    assert operator.ask("POST", "/jobs/bulk", {"jobs": [body, body]}).status_code == 200
    assert Job.objects.count() == 2


def test_the_result_of_the_other_job_is_for_who_may_view_jobs(operator: Any) -> None:
    submitter = person("sue")
    submitter.user_permissions.add(Permission.objects.get(codename="submit_job"))
    body = {"kind": "api.note", "unique_key": {"key": "k", "scope": "forever"}}
    made = operator.ask("POST", "/jobs", body).json()
    Job.objects.filter(pk=made["id"]).update(
        state="completed", result={"secret": 1}, finished_at=timezone.now()
    )
    assert operator.ask("POST", "/jobs", body).json()["result"] == {"secret": 1}
    told = calling(submitter).ask("POST", "/jobs", body)
    assert told.json() == {"id": made["id"], "state": "completed", "duplicate": True, "replaced": False}


@pytest.mark.parametrize(
    ("key", "field", "reason"),
    [
        (7, "unique_key", "must be a text"),
        ("", "unique_key", "must not be empty"),
        ({"key": "k", "scope": "window"}, "unique_key.seconds", "is missing"),
        ({"key": "k", "policy": 1}, "unique_key.policy", "must be one of"),
        ({"key": "k", "seconds": 10**400}, "unique_key.seconds", "at most"),
        ({"ke": "k"}, "unique_key.ke", "did you mean 'key'"),
    ],
)
def test_a_bad_unique_key_is_a_400_that_names_it(operator: Any, key: Any, field: str, reason: str) -> None:
    for path, body, at in (
        ("/jobs", {"kind": "api.note", "unique_key": key}, ""),
        ("/jobs/bulk", {"jobs": [{"kind": "api.note"}, {"kind": "api.note", "unique_key": key}]}, "jobs[1]."),
    ):
        refused = operator.ask("POST", path, body)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == at + field
        assert reason in refused.json()["errors"][0]["reason"]
    assert Job.objects.count() == 0


def test_a_job_of_a_workflow_has_no_unique_key(operator: Any) -> None:
    body = {"name": "w", "jobs": [{"kind": "api.note", "key": "a", "unique_key": "k"}]}
    refused = operator.ask("POST", "/workflows", body).json()
    assert refused["errors"] == [
        {"field": "jobs[0].unique_key", "reason": "a job of a workflow cannot have one"}
    ]


def test_a_unique_key_is_released_once(operator: Any, viewer: Any, submit: Submit) -> None:
    job = submit(unique_key={"key": "k", "scope": "forever"})
    assert viewer.ask("POST", f"/jobs/{job}/release-key", {}).status_code == 403
    done = operator.ask("POST", f"/jobs/{job}/release-key", {"reason": "again"})
    assert (done.status_code, done.json()["done"]) == (200, [job])
    again = operator.ask("POST", f"/jobs/{job}/release-key", {})
    assert (again.status_code, again.json()["detail"]) == (409, f"Job {job} holds no unique key.")
    assert operator.ask("POST", "/jobs/4711/release-key", {}).status_code == 404
    assert submit(unique_key="k") != job
