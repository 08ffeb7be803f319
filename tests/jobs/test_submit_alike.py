"""Jobs that differ in nothing but their payloads go in by a statement of their own and leave what others leave."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict

import jobs
from jobs import JobSpec, specs
from jobs.errors import InvalidSubmission
from jobs.models import Expiring, Job, Queue, Ready
from jobs.states import State
from jobs.store import submitting
from notifications.items import expand
from notifications.models import Event
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 12
SPEC: dict[str, Any] = {
    "kind": "test.echo",
    "priority": 7,
    "queue": "line:x",
    "timeout": 2.5,
    "max_attempts": 3,
    "concurrency_key": "tenant 7",
}


def alike(count: int = MANY, **options: Any) -> list[JobSpec]:
    payloads = [{"n": n, "text": 'quotes " and \\ and {} äöü'} for n in range(count)]
    return [JobSpec(payload=payload, **(SPEC | options)) for payload in payloads]


@pytest.fixture
def no_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that what a test submits goes by the short statement."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("went the general way")

    monkeypatch.setattr(submitting, "insert_jobs", never)


def traces(job_id: int) -> dict[str, Any]:
    """Everything that stands about a job, but its id and its times."""
    job, ready = Job.objects.get(pk=job_id), Ready.objects.get(pk=job_id)
    told = [
        (kind, [topic.replace(str(job_id), "ID") for topic in topics], payload | {"job": "ID"}, event.topics)
        for event in Event.objects.all()
        for _, kind, topics, payload in expand(event.items)
        if payload["job"] == job_id
    ]
    assert job.ready_at is not None
    return {
        "job": model_to_dict(job, exclude=["id", "ready_at", "scheduled_at", "created_at"]),
        "ready": (ready.queue, ready.kind, ready.key),
        "lead": (ready.rank - int(job.ready_at.timestamp() * 1_000_000)) // 10,
        "told": told,
        "same": job.ready_at == job.scheduled_at == job.created_at,
    }


@pytest.mark.parametrize("limits", [{}, {"key_max_running": 2}], ids=["without", "limited"])
def test_they_leave_what_the_general_way_leaves(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue.objects.create(name="line:x", **limits)
    with monkeypatch.context() as patched:
        patched.setattr(specs, "_FEW", MANY)
        general = jobs.submit_many(alike())
        patched.setattr(submitting, "insert_jobs", None)
        patched.setattr(specs, "_FEW", MANY - 1)
        ours = jobs.submit_many(alike())
    assert {one.state for one in (*general, *ours)} == {State.AVAILABLE}
    for theirs, mine in zip(general, ours, strict=True):
        assert traces(theirs.id) == traces(mine.id)
    assert_consistent(connection.cursor())


@pytest.mark.usefixtures("no_general_way")
def test_they_keep_their_order_and_their_payloads_over_many_statements() -> None:
    count = 2 * specs.PART + 7
    placed = [one.id for one in jobs.submit_many(alike(count))]
    assert placed == sorted(placed)
    assert [job.payload["n"] for job in Job.objects.order_by("pk")] == list(range(count))
    assert list(Ready.objects.order_by("rank", "pk").values_list("pk", flat=True)) == placed
    told = [payload["job"] for row in Event.objects.order_by("pk") for *_, payload in expand(row.items)]
    assert told == placed
    assert Queue.objects.get(pk="line:x").ageing_seconds == 60.0


@pytest.mark.usefixtures("no_general_way")
def test_large_payloads_go_in_several_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "_LARGE", 1000)
    wanted = [{"n": n, "text": "x" * 600} for n in range(MANY)]
    monkeypatch.setattr(specs, "encode_plain", lambda *_, **__: None)
    placed = jobs.submit_many([JobSpec(kind="test.echo", payload=one) for one in wanted])
    assert [Job.objects.get(pk=one.id).payload for one in placed] == wanted
    assert Event.objects.count() == MANY


WRONG: list[tuple[Any, str]] = [
    ({"n": float("nan")}, "not JSON"),
    ({"n": {1}}, "not JSON"),
    ({"n": "\ud800"}, "surrogate"),
    ({"n": "\x00"}, "NUL"),
    ([1], "object"),
    ("{}", "object"),
    ({"n": "x" * 300_000}, "bytes"),
    ({"n": json.loads("[" * 40 + "]" * 40)}, "deeper"),
]


@pytest.mark.parametrize("name_items", [True, False])
def test_a_payload_that_is_wrong_refuses_all_of_them_and_is_named(name_items: bool) -> None:
    for wrong, reason in WRONG:
        given = alike(specs.PART + 5)
        given[specs.PART + 2] = JobSpec(payload=wrong, **SPEC)
        with pytest.raises(InvalidSubmission, match=reason) as caught:
            jobs.submit_many(given, name_items=name_items)
        assert caught.value.field == (f"jobs[{specs.PART + 2}].payload" if name_items else "payload")
    assert not Job.objects.exists()
    assert not Queue.objects.exists()


def test_what_is_equal_but_not_the_same_is_checked_by_itself() -> None:
    with pytest.raises(InvalidSubmission) as caught:
        jobs.submit_many([*alike(priority=1), JobSpec(**SPEC | {"priority": True})])
    assert caught.value.field == f"jobs[{MANY}].priority"


OTHERS: list[tuple[dict[str, Any], State]] = [
    ({"priority": 8}, State.AVAILABLE),
    ({"scheduled_at": datetime(2100, 1, 1, tzinfo=UTC)}, State.SCHEDULED),
    ({"unique_key": "k"}, State.AVAILABLE),
    ({"expires_at": datetime(2100, 1, 1, tzinfo=UTC)}, State.AVAILABLE),
]


@pytest.mark.parametrize("at", [0, MANY])
def test_one_that_is_not_like_the_others_is_seen(at: int) -> None:
    for number, (option, state) in enumerate(OTHERS):
        other = {"n": f"other {number}"}
        mixed = alike()
        mixed.insert(at, JobSpec(payload=other, **(SPEC | option)))
        placed = jobs.submit_many(mixed)
        assert [one.state for one in placed] == [
            state if place == at else State.AVAILABLE for place in range(MANY + 1)
        ]
        job = Job.objects.get(pk=placed[at].id)
        assert (job.payload, job.priority) == (other, option.get("priority", 7))
    assert_consistent(connection.cursor())


def test_many_that_wait_or_have_a_deadline_go_the_general_way() -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    assert {one.state for one in jobs.submit_many(alike(scheduled_at=at))} == {State.SCHEDULED}
    for option in ("expires_at", "deadline"):
        placed = jobs.submit_many(alike(MANY, **{option: at}))
        assert Expiring.objects.filter(pk__in=[one.id for one in placed]).count() == MANY


def test_they_go_with_the_callers_transaction() -> None:
    with transaction.atomic():
        jobs.submit_many(alike())
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert not Event.objects.exists()
    assert not Ready.objects.exists()
    assert not Queue.objects.exists()


def test_an_error_leaves_the_callers_transaction_usable() -> None:
    connection.cursor().execute(
        "ALTER TABLE jobs_ready ADD CONSTRAINT nothing_goes CHECK (rank IS NULL) NOT VALID"
    )
    try:
        with transaction.atomic():
            with pytest.raises(IntegrityError):
                jobs.submit_many(alike())
            Queue.objects.create(name="afterwards")
    finally:
        connection.cursor().execute("ALTER TABLE jobs_ready DROP CONSTRAINT nothing_goes")
    assert list(Queue.objects.values_list("name", flat=True)) == ["afterwards"]
    assert not Job.objects.exists()
