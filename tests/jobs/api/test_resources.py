"""Workflows, dead letters, queues, workers: each resource from its first to its last action."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from jobs.models import DeadLetter, Job, OperatorAction, Queue, WorkerProcess, Workflow
from tests.jobs.api.conftest import Submit, field_of


def task(key: str, *parents: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "kind": "api.note", "parents": list(parents), **more}


def dead(submit: Submit) -> int:
    job = submit()
    Job.objects.filter(pk=job).update(state="dead", finished_at=timezone.now())
    Job.objects.get(pk=job).ready_row.delete()
    DeadLetter.objects.create(
        job_id=job,
        kind="api.note",
        queue="notes",
        error_class="ValueError",
        message="no",
        traceback="Traceback: no",
        attempts=1,
        fingerprint=f"f{job % 2}",
    )
    return job


# -- workflows ---------------------------------------------------------------------------------------------------------


def test_a_workflow_is_stored_with_its_edges_and_counts(operator: Any) -> None:
    body = {"name": "nightly", "jobs": [task("a"), task("b", "a"), task("c", "a", "b")]}
    made = operator.ask("POST", "/workflows", body)
    assert made.status_code == 201
    a, b, c = (row["id"] for row in made.json()["jobs"])
    assert [row["state"] for row in made.json()["jobs"]] == ["available", "blocked", "blocked"]
    found = operator.get(made["Location"]).json()
    assert (found["total"], found["active"], found["blocked"]) == (3, 1, 2)
    assert {row["key"]: row["parents"] for row in found["jobs"]} == {"a": [], "b": [a], "c": [a, b]}
    job = operator.ask("GET", f"/jobs/{b}").json()
    assert (job["parents"], job["children"], job["workflow"], job["task"]) == ([a], [c], found["id"], "b")
    listed = operator.ask("GET", "/workflows?state=running&name=nightly").json()["results"]
    assert [row["id"] for row in listed] == [found["id"]]


@pytest.mark.parametrize(
    ("jobs", "word"),
    [
        ([task("a", "b"), task("b", "a")], "cycle"),
        ([task("a", "a")], "a"),
        ([task("a", "nobody")], "nobody"),
        ([task("a"), task("a")], "already the key"),
        ([task("a"), task("b", "a", "a")], "a"),
        ([], "empty"),
        ([task("a", parent=["b"])], "did you mean 'parents'"),
        ([task("a") | {"parents": "b"}], "list"),
        ([{"kind": "api.note"}], "required"),
    ],
)
def test_a_graph_that_is_none_is_refused_whole(operator: Any, jobs: Any, word: str) -> None:
    refused = operator.ask("POST", "/workflows", {"name": "bad", "jobs": jobs})
    assert field_of(refused).startswith("jobs")
    assert word in refused.json()["errors"][0]["reason"]
    assert Job.objects.count() == Workflow.objects.count() == 0


def test_cancelling_a_workflow_ends_all_of_it_once(operator: Any) -> None:
    made = operator.ask("POST", "/workflows", {"name": "w", "jobs": [task("a"), task("b", "a")]}).json()
    done = operator.ask("POST", f"/workflows/{made['id']}/cancel", {"reason": "wrong"})
    assert done.status_code == 200
    assert {row["state"] for row in operator.ask("GET", f"/workflows/{made['id']}").json()["jobs"]} <= {
        "cancelled",
        "skipped",
    }
    assert operator.ask("POST", f"/workflows/{made['id']}/cancel").status_code == 409
    assert operator.ask("POST", "/workflows/4711/cancel").status_code == 404


# -- dead letters ------------------------------------------------------------------------------------------------------


def test_a_dead_letter_is_found_replayed_once_and_recorded(operator: Any, submit: Submit) -> None:
    job = dead(submit)
    assert operator.ask("GET", f"/dead-letters/{job}").json()["traceback"] == "Traceback: no"
    assert operator.ask("GET", f"/jobs/{job}").json()["error"]["message"] == "no"
    assert field_of(operator.ask("POST", f"/dead-letters/{job}/replay")) == "reason"
    assert operator.ask("POST", f"/dead-letters/{job}/replay", {"reason": "ok"}).json()["done"] == [job]
    assert operator.ask("GET", f"/jobs/{job}").json()["state"] == "available"
    assert operator.ask("POST", f"/dead-letters/{job}/replay", {"reason": "ok"}).status_code == 409
    assert OperatorAction.objects.get().reason == "ok"


def test_a_discarded_dead_letter_keeps_its_reason(operator: Any, submit: Submit) -> None:
    job = dead(submit)
    assert operator.ask("POST", f"/dead-letters/{job}/discard", {"reason": "gone"}).status_code == 200
    found = operator.ask("GET", f"/jobs/{job}").json()
    assert (found["state"], found["reason"]) == ("discarded", "gone")
    assert operator.ask("POST", "/dead-letters/4711/discard", {"reason": "gone"}).status_code == 404


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_many_at_once_do_what_they_can_and_say_what_they_refused(
    operator: Any, submit: Submit, action: str
) -> None:
    letters, alive = [dead(submit), dead(submit)], submit()
    asked = {"ids": [*letters, alive, 4711], "reason": "all of them"}
    told = operator.ask("POST", f"/dead-letters/{action}", asked).json()
    assert told["done"] == letters
    assert [row["id"] for row in told["refused"]] == sorted([alive, 4711])
    assert DeadLetter.objects.count() == 0


@pytest.mark.parametrize("ids", [[], [0], [-1], [2**63], ["1"], [1.0], [True], [None], 5, None, {"1": 2}])
def test_ids_that_are_none_are_refused(operator: Any, ids: Any) -> None:
    refused = operator.ask("POST", "/dead-letters/replay", {"ids": ids, "reason": "r"})
    assert field_of(refused).startswith("ids")


def test_dead_letters_are_filtered(operator: Any, submit: Submit) -> None:
    first, second = dead(submit), dead(submit)
    for query, expected in [
        ("", [second, first]),
        (f"?fingerprint=f{first % 2}", [first]),
        ("?error_class=KeyError", []),
        ("?kind=api.note&queue=notes", [second, first]),
        ("?died_after=2090-01-01T00:00:00Z", []),
        ("?died_before=2090-01-01T00:00:00Z&page_size=1", [second]),
    ]:
        found = operator.ask("GET", f"/dead-letters{query}").json()["results"]
        assert [row["id"] for row in found] == expected, query


# -- queues and workers ------------------------------------------------------------------------------------------------


def test_queues_are_listed_by_name_paused_resumed_and_changed(operator: Any, submit: Submit) -> None:
    submit("api.other")
    submit("api.note")
    first = operator.ask("GET", "/queues?page_size=1").json()
    rest = operator.get(first["next"]).json()
    assert [row["name"] for row in first["results"] + rest["results"]] == ["notes", "others"]
    assert operator.ask("POST", "/queues/notes/pause", {"reason": "r"}).json()["paused_at"]
    assert operator.ask("POST", "/queues/notes/pause").status_code == 409
    assert operator.ask("POST", "/queues/notes/resume").json()["paused_at"] is None
    changed = operator.ask("PATCH", "/queues/notes", {"description": "slow"}).json()
    assert (changed["description"], changed["ageing_seconds"]) == ("slow", 60.0)
    strict = operator.ask("PATCH", "/queues/notes", {"ageing_seconds": None, "reason": "no"}).json()
    assert OperatorAction.objects.latest("pk").reason == "no"
    assert (strict["description"], strict["ageing_seconds"]) == ("slow", None)
    assert field_of(operator.ask("PATCH", "/queues/notes", {"ageing_seconds": 0})) == "ageing_seconds"
    assert operator.ask("GET", "/queues/none").status_code == 404
    assert operator.ask("POST", "/queues/none/pause").status_code == 404
    assert Queue.objects.count() == 2


def test_a_queue_is_made_with_its_limits_before_its_first_job(operator: Any, submit: Submit) -> None:
    made = operator.ask("POST", "/queues", {"name": "notes", "max_running": 5, "ageing_seconds": None})
    assert (made.status_code, made["Location"]) == (201, "http://testserver/api/v1/queues/notes")
    assert (made.json()["max_running"], made.json()["ageing_seconds"], made.json()["weight"]) == (5, None, 1)
    submit("api.note")
    assert operator.get(made["Location"]).json() == made.json()
    again = operator.ask("POST", "/queues", {"name": "notes"})
    assert (again.status_code, again.json()["detail"]) == (409, 'There is a queue "notes" already.')
    for body, field in (({}, "name"), ({"name": "a b"}, "name"), ({"name": "x", "rate": 0}, "rate")):
        assert field_of(operator.ask("POST", "/queues", body)) == field
    assert Queue.objects.count() == 1


def test_workers_are_listed_newest_first(operator: Any, db: None) -> None:
    made = [
        WorkerProcess.objects.create(
            name=f"w{n}",
            hostname="h",
            pid=n,
            queues=["notes"],
            kinds=[],
            concurrency=2,
            state=state,
            lost_running=2 - 2 * n,
        ).pk
        for n, state in enumerate(["live", "lost"])
    ]
    assert [row["id"] for row in operator.ask("GET", "/workers").json()["results"]] == made[::-1]
    lost = operator.ask("GET", "/workers?state=lost").json()["results"]
    assert [row["name"] for row in lost] == ["w1"]
    assert operator.ask("GET", f"/workers/{made[0]}").json()["queues"] == ["notes"]
    told = [operator.ask("GET", f"/workers/{worker}").json() for worker in made]
    assert [(row["concurrency"], row["lost_running"]) for row in told] == [(2, 2), (2, 0)]


def test_the_root_names_the_collections(viewer: Any) -> None:
    for address in viewer.ask("GET", "/").json().values():
        missing_topics = address.endswith("/events")
        assert viewer.get(address).status_code == (400 if missing_topics else 200), address
