"""`/jobs`: what a client submits is what it finds, filtered, in pages, and steers."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from jobs.models import Attempt, Effect, Job, LogLine, LogLoss, OperatorAction, Progress
from jobs.states import State
from tests.jobs.api.conftest import Submit, ids


def test_a_submitted_job_is_found_at_its_location_with_all_that_was_given(operator: Any) -> None:
    body: dict[str, Any] = {
        "kind": "api.note",
        "payload": {"to": "ö", "n": [1, 2.5, None, True]},
        "queue": "special",
        "priority": -3,
        "max_attempts": 2,
        "scheduled_at": "2090-01-01T00:00:00+02:00",
        "timeout": 1.5,
        "backoff": {"type": "fixed", "seconds": 5},
    }
    made = operator.ask("POST", "/jobs", body)
    assert made.status_code == 201
    assert made.json()["state"] == "scheduled"
    found = operator.get(made["Location"]).json()
    assert found["payload"] == body["payload"]
    assert (found["queue"], found["priority"], found["max_attempts"]) == ("special", -3, 2)
    assert found["scheduled_at"] == "2089-12-31T22:00:00Z"
    assert found["options"]["timeout"] == 1.5
    assert found["options"]["backoff"]["type"] == "fixed"
    assert found["created_by"] is not None
    assert found["error"] is found["progress"] is found["result"] is found["reason"] is None


def test_null_and_left_out_take_the_defaults_of_the_kind(operator: Any) -> None:
    body = {"kind": "api.other", "queue": None, "priority": None, "max_attempts": None, "timeout": None}
    made = operator.ask("POST", "/jobs", body).json()
    found = operator.ask("GET", f"/jobs/{made['id']}").json()
    assert (found["queue"], found["max_attempts"], found["payload"]) == ("others", 3, {})


def test_bulk_submits_in_order_all_or_none(operator: Any) -> None:
    jobs: list[dict[str, Any]] = [{"kind": "api.note", "payload": {"n": n}} for n in range(3)]
    made = operator.ask("POST", "/jobs/bulk", {"jobs": jobs})
    assert made.status_code == 201
    stored = [Job.objects.get(pk=row["id"]).payload["n"] for row in made.json()["jobs"]]
    assert stored == [0, 1, 2]
    jobs[1]["priority"] = 300
    refused = operator.ask("POST", "/jobs/bulk", {"jobs": jobs})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "jobs[1].priority"
    assert Job.objects.count() == 3


@pytest.mark.parametrize(
    ("jobs", "field"),
    [
        ([{"kind": "api.note", "payload": {"n": "\\"}}, {"kind": "api.nothing"}], "kind"),
        ([{"kind": "api.note", "queue": "no queue"}], "jobs[0].queue"),
        ([], "jobs"),
        ([7], "jobs[0]"),
        ({"kind": "api.note"}, "jobs"),
    ],
)
def test_bulk_errors_name_the_item(operator: Any, jobs: Any, field: str) -> None:
    refused = operator.ask("POST", "/jobs/bulk", {"jobs": jobs})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"].endswith(field)
    assert Job.objects.count() == 0


def test_more_than_the_limit_at_once_is_refused_before_any_is_read(operator: Any, settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "MAX_BULK": 2}
    refused = operator.ask("POST", "/jobs/bulk", {"jobs": [{"wrong": 1}] * 3})
    assert refused.json()["errors"] == [{"field": "jobs", "reason": "3 jobs at once; at most 2 are allowed"}]


def test_the_list_is_filtered_by_each_parameter(operator: Any, submit: Submit) -> None:
    later = submit("api.other", scheduled_at="2090-01-01T00:00:00Z")
    now = submit("api.note")
    assert ids(operator.ask("GET", "/jobs")) == [now, later]
    assert ids(operator.ask("GET", "/jobs?kind=api.other")) == [later]
    assert ids(operator.ask("GET", "/jobs?queue=notes")) == [now]
    assert ids(operator.ask("GET", "/jobs?state=scheduled")) == [later]
    assert ids(operator.ask("GET", "/jobs?state=available&queue=others")) == []
    assert ids(operator.ask("GET", "/jobs?scheduled_after=2089-01-01T00:00:00Z")) == [later]
    assert ids(operator.ask("GET", "/jobs?scheduled_before=2089-01-01T00:00:00%2B02:00")) == [now]
    assert ids(operator.ask("GET", "/jobs?created_after=2089-01-01T00:00:00+02:00")) == []
    assert ids(operator.ask("GET", "/jobs?created_before=2089-01-01T00:00:00Z&workflow=9")) == []


@pytest.mark.parametrize("state", list(State))
def test_each_state_can_be_asked_for(operator: Any, db: None, state: State) -> None:
    assert ids(operator.ask("GET", f"/jobs?state={state}")) == []


def test_pages_follow_each_other_without_gap_or_repetition_while_jobs_arrive(
    operator: Any, submit: Submit
) -> None:
    made = [submit() for _ in range(7)]
    seen: list[int] = []
    address = "/api/v1/jobs?page_size=3&kind=api.note"
    while address:
        page = operator.get(address)
        seen += ids(page)
        address = page.json()["next"]
        submit()
    assert seen == made[::-1]


def test_a_filter_without_index_looks_at_a_bounded_span_and_says_where_to_go_on(
    operator: Any, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.api.jobs._SCAN", 2)
    rare = submit("api.other")
    for _ in range(5):
        submit()
    address, pages = "/api/v1/jobs?kind=api.other", []
    while address:
        page = operator.get(address)
        pages.append(ids(page))
        address = page.json()["next"]
    assert pages == [[], [], [rare]]


def test_the_list_never_reads_payloads_or_counts(
    operator: Any, submit: Submit, django_assert_max_num_queries: Any
) -> None:
    submit(payload={"secret": "x" * 1000})
    with django_assert_max_num_queries(6) as captured:
        operator.ask("GET", "/jobs?state=available")
    listed = [query["sql"] for query in captured.captured_queries if "jobs_job" in query["sql"]]
    assert listed
    assert not any("payload" in sql or "COUNT" in sql.upper() for sql in listed)


def test_waiting_jobs_are_cancelled_once(operator: Any, submit: Submit) -> None:
    job = submit()
    done = operator.ask("POST", f"/jobs/{job}/cancel", {"reason": "not needed"})
    assert (done.status_code, done.json()) == (200, {"done": [job], "requested": [], "refused": []})
    found = operator.ask("GET", f"/jobs/{job}").json()
    assert (found["state"], found["reason"]) == ("cancelled", "not needed")
    assert OperatorAction.objects.get().reason == "not needed"
    again = operator.ask("POST", f"/jobs/{job}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, "urn:opsched:problem:refused")
    assert "cancelled" in again.json()["detail"]


def test_run_now_and_priority(operator: Any, submit: Submit) -> None:
    job = submit(scheduled_at="2090-01-01T00:00:00Z")
    assert operator.ask("POST", f"/jobs/{job}/priority", {"priority": 7}).status_code == 200
    assert operator.ask("POST", f"/jobs/{job}/run-now").status_code == 200
    found = operator.ask("GET", f"/jobs/{job}").json()
    assert (found["state"], found["priority"]) == ("available", 7)
    assert operator.ask("POST", f"/jobs/{job}/run-now").status_code == 409
    assert operator.ask("POST", f"/jobs/{job}/priority", {}).json()["errors"][0]["field"] == "priority"


@pytest.mark.parametrize("action", ["cancel", "run-now", "priority"])
def test_actions_on_what_does_not_exist_are_404(operator: Any, action: str) -> None:
    assert (
        operator.ask(
            "POST", f"/jobs/4711/{action}", {"priority": 1} if action == "priority" else {}
        ).status_code
        == 404
    )


def running(job: int) -> None:
    Job.objects.filter(pk=job).update(
        state="running", worker_id=1, attempt=1, started_at="2026-01-01T00:00:00Z"
    )
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_ready WHERE job_id = %s", [job])


def test_attempts_log_and_progress_of_a_running_job(operator: Any, submit: Submit) -> None:
    job = submit()
    running(job)
    Attempt.objects.create(job_id=job, number=1, finished_at="2026-01-01T00:00:00Z", outcome="failed")
    Progress.objects.create(job_id=job, attempt=1, fraction=0.5, note="half")
    lines = [LogLine(job_id=job, attempt=1, at="2026-01-01T00:00:00Z", line=str(n)) for n in range(3)]
    LogLine.objects.bulk_create(lines)
    tries = operator.ask("GET", f"/jobs/{job}/attempts").json()["results"]
    assert [row["outcome"] for row in tries] == ["failed", "running"]
    first = operator.ask("GET", f"/jobs/{job}/log?page_size=2").json()
    assert [row["line"] for row in first["results"]] == ["0", "1"]
    assert [row["line"] for row in operator.get(first["next"]).json()["results"]] == ["2"]
    assert operator.ask("GET", f"/jobs/{job}").json()["progress"]["fraction"] == 0.5


def test_cancelling_a_running_job_asks_its_worker_and_says_202(operator: Any, submit: Submit) -> None:
    job = submit()
    running(job)
    asked = operator.ask("POST", f"/jobs/{job}/cancel")
    assert (asked.status_code, asked.json()["requested"]) == (202, [job])


def test_effects_and_lost_lines_of_a_job_are_told(operator: Any, submit: Submit) -> None:
    job, other = submit(), submit()
    assert operator.ask("GET", f"/jobs/{job}").json()["log_loss"] is None
    assert operator.ask("GET", f"/jobs/{job}/effects").json()["results"] == []
    LogLoss.objects.create(job_id=job, over_limit=12, unsent=3)
    for key, scope in (("charge:42", 0), ("mail", job)):
        Effect.objects.create(key=key, scope=scope, job_id=job, kind="k", attempt=2, result={"paid": True})
    Effect.objects.create(key="else", job_id=other, kind="k", attempt=1)
    assert operator.ask("GET", f"/jobs/{job}").json()["log_loss"] == {"over_limit": 12, "unsent": 3}
    told = operator.ask("GET", f"/jobs/{job}/effects").json()["results"]
    assert [(row["key"], row["scope"], row["attempt"], row["result"]) for row in told] == [
        ("charge:42", "global", 2, {"paid": True}),
        ("mail", "job", 2, {"paid": True}),
    ]
    assert operator.ask("GET", "/jobs/99999999/effects").status_code == 404
