"""Reads for people: the lists by state say what a plain filter says, counts stop at their cap."""

from __future__ import annotations

import json
from typing import Any

import pytest

import jobs
from jobs import JobSpec, queries
from jobs.models import Job
from jobs.queries import Count, counts_by_state, figures, running_ids, with_state
from jobs.states import State
from tests.jobs.ground import end, in_state, make_worker, take

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_of_each(db: None) -> None:
    for state in State:
        in_state(state)
        in_state(state)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.usefixtures("two_of_each")
def test_the_list_of_a_state_is_what_a_plain_filter_finds(state: State) -> None:
    found = set(with_state(Job.objects.all(), state).values_list("pk", flat=True))
    assert found == set(Job.objects.filter(state=state).values_list("pk", flat=True))
    assert len(found) >= 2
    one = min(found)
    assert [job.pk for job in with_state(Job.objects.filter(pk=one), state)] == [one]


def test_a_list_shows_no_job_whose_narrow_row_is_of_another_state() -> None:
    """A claim names its whole batch: what of it has ended is no running job."""
    worker = make_worker()
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 3)]
    batch = take(worker, *ids)
    end(worker, batch[:1], State.COMPLETED)
    assert sorted(running_ids()) == ids
    assert set(with_state(Job.objects.all(), State.RUNNING).values_list("pk", flat=True)) == {
        job.id for job in batch[1:]
    }


@pytest.mark.usefixtures("two_of_each")
def test_counts_are_those_of_the_states() -> None:
    counts = counts_by_state()
    assert set(counts) == set(State) - {State.COMPLETED}  # nearly all jobs are, and nobody counts them
    for state, count in counts.items():
        assert count == Count(number=Job.objects.filter(state=state).count(), capped=False)


def test_a_count_stops_at_its_cap_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "COUNT_CAP", 3)
    jobs.submit_many([JobSpec(kind="test.echo")] * 3)
    assert counts_by_state()[State.AVAILABLE] == Count(number=3, capped=False)
    jobs.submit("test.echo")
    count = counts_by_state()[State.AVAILABLE]
    assert count == Count(number=3, capped=True)
    assert str(count) == "3+"
    assert str(Count(number=10_000, capped=True)) == "10,000+"
    (queue,) = figures()["queues"]
    assert (queue["available"], queue["capped"]) == (3, True)


def test_running_ids_stop_at_their_limit() -> None:
    worker = make_worker()
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 6)]
    for one in ids:
        take(worker, one)
    assert running_ids(4) == ids[:4]


@pytest.mark.usefixtures("two_of_each")
def test_the_figures_are_json_and_name_what_is_there() -> None:
    found = figures()
    assert json.loads(json.dumps(found)) == found
    assert {"now", "states", "queues", "workers", "running", "dead", "workflows"} <= set(found)
    assert found["states"]["dead"] == {"count": 2, "capped": False}
    (queue,) = found["queues"]
    assert (queue["name"], queue["paused"], queue["running"]) == ("test", False, 2)
    assert queue["available"] == Job.objects.filter(state="available").count()
    assert queue["oldest_seconds"] >= 0
    assert {one["state"] for one in found["workers"]} == {"live"}
    assert sum(one["running"] for one in found["workers"]) == 2
    assert {one["lost_running"] for one in found["workers"]} == {0}
    assert {one["id"] for one in found["running"]} == set(
        Job.objects.filter(state="running").values_list("pk", flat=True)
    )
    assert all(one["error"] == "ValueError: boom" for one in found["dead"])


def test_the_figures_of_an_empty_installation() -> None:
    found: dict[str, Any] = figures()
    assert (
        found["queues"] == found["workers"] == found["running"] == found["dead"] == found["workflows"] == []
    )
    assert all(state == {"count": 0, "capped": False} for state in found["states"].values())


def test_what_an_earlier_attempt_had_reached_says_nothing() -> None:
    from jobs.models import Progress

    job_id = in_state(State.RUNNING)
    Progress.objects.create(job_id=job_id, attempt=1, fraction=0.5)
    assert figures()["running"][0]["progress"] == 0.5
    Job.objects.filter(pk=job_id).update(attempt=2)
    assert figures()["running"][0]["progress"] is None
