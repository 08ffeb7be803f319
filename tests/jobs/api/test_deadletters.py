"""Groups of dead letters and runs over them, from the first preview to the undo, by programs."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import letter_runs
from jobs.database import django_cursor
from jobs.models import DeadLetter, DeadLetterRun, Job
from tests.jobs.letters import dead

pytestmark = pytest.mark.django_db


def preview(caller: Any, action: str = "replay", **filters: Any) -> Any:
    answer = caller.ask("POST", f"/dead-letter-runs/{action}", filters)
    assert answer.status_code == 201, answer.content
    assert answer["Location"].endswith(f"/api/v1/dead-letter-runs/{answer.json()['id']}")
    return answer.json()


def test_a_group_is_read_and_changed(operator: Any) -> None:
    dead(2)
    (group,) = operator.ask("GET", "/dead-letter-groups?letters=some&error_class=ValueError").json()[
        "results"
    ]
    assert (group["fingerprint"], group["letters"], group["owner"]) == ("f" * 32, 2, None)
    address = f"/dead-letter-groups/{'f' * 32}"
    changed = operator.ask("PATCH", address, {"owner": "olga"}).json()
    assert (changed["owner"], changed["note"]) == ("olga", "")
    changed = operator.ask("PATCH", address, {"note": "the disk"}).json()
    assert (changed["owner"], changed["note"]) == ("olga", "the disk")
    assert operator.ask("GET", "/dead-letter-groups?owner=olga").json()["results"] == [changed]
    assert operator.ask("GET", "/dead-letter-groups?letters=none").json()["results"] == []
    assert operator.ask("PATCH", address, {"owner": "zoe"}).status_code == 400
    assert operator.ask("GET", "/dead-letter-groups/zz").status_code == 404
    assert operator.ask("PATCH", address, {"owner": None}).json()["owner"] is None


def test_a_set_is_previewed_confirmed_read_and_undone(operator: Any) -> None:
    ids = dead(3)
    run = preview(operator, fingerprint="f" * 32)
    assert (run["state"], run["total"], run["preview"]["jobs"]) == ("previewed", 3, ids)
    assert run["preview"]["parts"] == [{"kind": "test.echo", "queue": "test", "letters": 3}]
    error = {"fingerprint": "f" * 32, "error_class": "ValueError", "letters": 3}
    assert (run["preview"]["groups"], run["preview"]["refused"]) == ([error], [])
    named = preview(operator, ids=[ids[0], 4711])["preview"]
    assert (named["jobs"], [one["id"] for one in named["refused"]]) == (ids[:1], [4711])
    address = f"/dead-letter-runs/{run['id']}"
    wrong = operator.ask("POST", f"{address}/confirm", {"digest": "0", "reason": "mended"})
    assert (wrong.status_code, DeadLetter.objects.count()) == (409, 3)
    body = {"digest": run["digest"], "reason": "mended"}
    done = operator.ask("POST", f"{address}/confirm", body)
    assert (done.status_code, done.json()["done"], done.json()["outcomes"]) == (200, 3, {"available": 3})
    assert operator.ask("POST", f"{address}/confirm", body).status_code == 409
    items = operator.ask("GET", f"{address}/items?page_size=2").json()
    assert [item["job_id"] for item in items["results"]] == ids[:2]
    assert items["next"]
    undone = operator.ask("POST", f"{address}/undo", {"reason": "too soon", "ids": [*ids[:1], 4711]}).json()
    assert (undone["done"], [one["id"] for one in undone["refused"]]) == (ids[:1], [4711])
    assert operator.ask("POST", f"{address}/undo", {"reason": "all"}).json()["done"] == ids[1:]
    assert DeadLetter.objects.count() == 3


def test_a_run_with_a_pace_is_accepted_and_steered(operator: Any) -> None:
    dead(3)
    run = preview(operator)
    address = f"/dead-letter-runs/{run['id']}"
    body = {"digest": run["digest"], "reason": "mended", "canary": True, "per_minute": 60}
    assert operator.ask("POST", f"{address}/confirm", {**body, "canary": "yes"}).status_code == 400
    assert operator.ask("POST", f"{address}/confirm", {**body, "per_minute": 0}).status_code == 400
    assert operator.ask("POST", f"{address}/confirm", body).status_code == 202
    with django_cursor() as cursor:
        letter_runs.advance_next(cursor)
    for word, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        answer = operator.ask("POST", f"{address}/{word}", {"reason": "because"})
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        assert operator.ask("POST", f"{address}/{word}", {}).status_code == 409
    (found,) = operator.ask("GET", "/dead-letter-runs?state=stopped&action=replay").json()["results"]
    assert (found["done"], found["canary_job"]) == (1, Job.objects.get(state="available").pk)


def test_a_discard_takes_no_pace(operator: Any) -> None:
    ids = dead(2)
    run = preview(operator, "discard", ids=[*ids, 4711])
    assert (run["total"], run["refused"]) == (2, 1)
    address = f"/dead-letter-runs/{run['id']}/confirm"
    body = {"digest": run["digest"], "reason": "pointless"}
    assert operator.ask("POST", address, {**body, "per_minute": 5}).status_code == 400
    assert operator.ask("POST", address, body).json()["done"] == 2


@pytest.mark.parametrize(
    "filters",
    [
        {"ids": []},
        {"ids": ["1"]},
        {"kin": "x"},
        {"died_after": "2030-01-31"},
        {"workflow": 0},
        {"kind": 5},
        [],
        "x",
    ],
)
def test_a_set_that_makes_no_sense_is_refused(filters: Any, operator: Any) -> None:
    assert operator.ask("POST", "/dead-letter-runs/replay", filters).status_code == 400
    assert not DeadLetterRun.objects.exists()


def test_a_viewer_reads_runs_and_steers_none(operator: Any, viewer: Any) -> None:
    dead(2)
    run = preview(operator)
    address = f"/dead-letter-runs/{run['id']}"
    assert viewer.ask("GET", address).status_code == 404, "a preview is its operator's"
    operator.ask("POST", f"{address}/confirm", {"digest": run["digest"], "reason": "r", "per_minute": 1})
    assert viewer.ask("GET", address).json()["state"] == "running"
    for word in ("confirm", "pause", "resume", "stop", "undo"):
        assert viewer.ask("POST", f"{address}/{word}", {"reason": "r"}).status_code == 403
    for action in ("replay", "discard"):
        assert viewer.ask("POST", f"/dead-letter-runs/{action}", {}).status_code == 403
    assert viewer.ask("PATCH", f"/dead-letter-groups/{'f' * 32}", {"note": "n"}).status_code == 403
    assert DeadLetterRun.objects.get().state == "running"


def test_a_single_letter_is_replayed_with_another_payload(operator: Any) -> None:
    (job,) = dead(1, kind="test.sized", payload={"size": 1})
    wrong = operator.ask("POST", f"/dead-letters/{job}/replay", {"reason": "r", "payload": {"size": "x"}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "payload.size")
    done = operator.ask("POST", f"/dead-letters/{job}/replay", {"reason": "r", "payload": {"size": 2}}).json()
    assert done["done"] == [job]
    assert operator.ask("POST", f"/dead-letter-runs/{done['run']}/undo", {"reason": "r"}).json()["done"] == [
        job
    ]
    assert Job.objects.get(pk=job).payload == {"size": 1}
