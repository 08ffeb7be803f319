"""The way in: what is refused leaves nothing behind, and says which field is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import jobs
from jobs import JobSpec, conf
from jobs.core.backoff import Exponential
from jobs.errors import InvalidSubmission, UnknownKind
from jobs.models import Dependency, Job, Queue, Ready, Workflow
from notifications.models import Event
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.jobs.ground import told

pytestmark = pytest.mark.django_db(transaction=True)


def nothing_was_stored() -> bool:
    return not (
        Job.objects.exists() or Workflow.objects.exists() or Event.objects.exists() or Queue.objects.exists()
    )


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownKind, match=r'Did you mean "test\.echo"') as caught:
        jobs.submit("test.ecko")
    assert (caught.value.field, caught.value.suggestion) == ("kind", "test.echo")
    assert nothing_was_stored()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"queue": "no spaces"}, "queue"),
        ({"queue": ""}, "queue"),
        ({"queue": "x" * 101}, "queue"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"scheduled_at": datetime(2030, 1, 1)}, "scheduled_at"),  # noqa: DTZ001 - the mistake that is tested
        ({"payload": [1]}, "payload"),
        ({"payload": {"a": "x" * 300_000}}, "payload"),
        ({"payload": {"a": float("inf")}}, "payload"),
        ({"payload": {"a": "\x00"}}, "payload"),
        ({"kind": "test.sized", "payload": {"size": "big"}}, "payload.size"),
        ({"kind": "test.sized", "payload": {"size": 1, "colour": "red"}}, "payload.colour"),
        ({"kind": ""}, "kind"),
        ({"backoff": "fast"}, "backoff"),
        ({"kind": "a\x00"}, "kind"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit(**{"kind": "test.echo", **options})
    assert caught.value.field == field
    assert nothing_was_stored()


def test_one_bad_job_refuses_all_of_them_and_is_named() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit_many([JobSpec(kind="test.echo"), JobSpec(kind="test.echo", priority=200)])
    assert caught.value.field == "jobs[1].priority"
    assert nothing_was_stored()


def test_what_is_no_spec_is_refused_by_its_place() -> None:
    wrong: Any = [JobSpec(kind="test.echo"), "test.echo"]
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit_many(wrong)
    assert caught.value.field == "jobs[1]"
    assert nothing_was_stored()


def test_too_many_at_once_are_refused() -> None:
    with pytest.raises(InvalidSubmission, match="at most"):
        jobs.submit_many([JobSpec(kind="test.echo")] * (conf.get().MAX_BULK + 1))
    assert nothing_was_stored()


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, ["cycle", "a", "b", "c"]),
        ({"a": ["a"]}, ["a"]),
        ({"a": [], "b": ["aa"]}, ["aa", "a"]),
        ({"a": [], "b": ["a", "a"]}, ["a", "b"]),
    ],
)
def test_a_graph_that_cannot_run_is_refused_and_named(edges: dict[str, list[str]], words: list[str]) -> None:
    specs = [JobSpec(kind="test.echo", key=key, parents=parents) for key, parents in edges.items()]
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit_workflow("w", specs)
    assert all(word in str(caught.value) for word in words)
    assert nothing_was_stored()


@pytest.mark.parametrize("keys", [["a", "a"], ["a", ""], ["a", "x" * 201], ["a", "b\n"]])
def test_keys_of_a_workflow_are_unique_names(keys: list[str]) -> None:
    with pytest.raises(InvalidSubmission, match=r"jobs\[1\]\.key"):
        jobs.submit_workflow("w", [JobSpec(kind="test.echo", key=key) for key in keys])
    assert nothing_was_stored()


def test_a_workflow_without_jobs_or_name_is_refused() -> None:
    with pytest.raises(InvalidSubmission):
        jobs.submit_workflow("w", [])
    with pytest.raises(InvalidSubmission):
        jobs.submit_workflow("", [JobSpec(kind="test.echo", key="a")])


@pytest.mark.parametrize("parents", ["a", 5, None])
def test_parents_are_a_list_and_a_text_is_none(parents: Any) -> None:
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=parents)]
    with pytest.raises(InvalidSubmission, match="must be a list of keys") as caught:
        jobs.submit_workflow("w", specs)
    assert caught.value.field == "jobs[1].parents"
    assert nothing_was_stored()


def test_what_is_not_said_comes_from_the_kind() -> None:
    job = Job.objects.get(pk=jobs.submit("test.answer", {"how": "x"}).id)
    assert (job.queue, job.priority, job.max_attempts, job.options, job.state) == (
        "test",
        0,
        2,
        None,
        "available",
    )
    assert job.created_at == job.scheduled_at == job.ready_at


def test_what_is_said_wins() -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    placed = jobs.submit(
        "test.echo",
        queue="slow",
        priority=-3,
        max_attempts=9,
        timeout=4,
        backoff=Exponential(base=3),
        scheduled_at=at,
    )
    job = Job.objects.get(pk=placed.id)
    assert (job.queue, job.priority, job.max_attempts, job.state, job.scheduled_at) == (
        "slow",
        -3,
        9,
        "scheduled",
        at,
    )
    assert job.options is not None
    assert job.options["timeout"] == 4.0
    assert job.options["backoff"]["base"] == 3


def test_many_jobs_keep_their_order_and_tell_their_events() -> None:
    placed = jobs.submit_many([JobSpec(kind="test.echo", payload={"n": n}) for n in range(1200)])
    ids = [one.id for one in placed]
    assert ids == sorted(ids)
    assert [job.payload["n"] for job in Job.objects.order_by("pk")] == list(range(1200))
    assert Ready.objects.count() == 1200
    events = told()
    assert [payload["job"] for _, _, payload in events] == ids
    assert {kind for kind, _, _ in events} == {"job.submitted"}


def test_a_workflow_is_stored_with_its_edges() -> None:
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    workflow, (a, b) = jobs.submit_workflow("two", specs)
    assert (a.state, b.state) == ("available", "blocked")
    edge = Dependency.objects.get()
    assert (edge.parent_id, edge.child_id) == (a.id, b.id)
    found = Workflow.objects.get(pk=workflow)
    assert (found.total, found.active, found.blocked) == (2, 1, 1)


def test_nothing_to_submit_is_fine() -> None:
    assert jobs.submit_many([]) == []
    assert nothing_was_stored()


def test_a_queue_comes_into_being_with_its_first_job_and_ranks_it_as_it_will_rank_the_next() -> None:
    """The statement that creates the queue cannot see it yet, so the first job's rank comes from the same defaults."""
    placed = [jobs.submit("test.echo", queue="brand-new", priority=7) for _ in range(2)]
    assert Queue.objects.get(pk="brand-new").ageing_seconds == 60.0
    ranks = {
        ready.job.ready_at.timestamp() * 1e6 - ready.rank
        for ready in Ready.objects.filter(pk__in=[one.id for one in placed]).select_related("job")
        if ready.job.ready_at is not None
    }
    assert all(abs(rank - 7 * 60e6) < 2 for rank in ranks)


def test_a_strict_queue_ranks_by_priority_alone() -> None:
    Queue.objects.create(name="strict", ageing_seconds=None)
    low, high = (jobs.submit("test.echo", queue="strict", priority=p) for p in (0, 1))
    assert Ready.objects.get(pk=high.id).rank < Ready.objects.get(pk=low.id).rank - 10**15
