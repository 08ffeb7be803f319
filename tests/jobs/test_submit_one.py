"""One job goes in by a statement of its own; what it leaves is what the general one leaves."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict

import jobs
from jobs import JobSpec
from jobs.models import Expiring, Job, Queue, Ready
from jobs.specs import prepare
from jobs.states import State
from notifications.items import expand
from notifications.models import Event
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

SPEC: dict[str, Any] = {
    "kind": "test.echo",
    "payload": {"text": 'quotes " and \\ and {}'},
    "priority": 7,
    "queue": "line:x",
    "timeout": 2.5,
    "max_attempts": 3,
}


def traces(job_id: int) -> dict[str, Any]:
    """Everything that stands about a job, but its id and its times."""
    job = Job.objects.get(pk=job_id)
    ready = Ready.objects.get(pk=job_id)
    told = next(event for event in Event.objects.order_by("-pk") if f"job:{job_id}" in event.topics)
    (mine,) = [
        (kind, [topic.replace(str(job_id), "ID") for topic in topics], payload | {"job": "ID"})
        for _, kind, topics, payload in expand(told.items)
        if payload["job"] == job_id
    ]
    assert job.ready_at is not None
    fields = model_to_dict(job, exclude=["id", "ready_at", "scheduled_at", "created_at"])
    lead = ready.rank - int(job.ready_at.timestamp() * 1_000_000)
    same = job.ready_at == job.scheduled_at == job.created_at
    return {
        "job": fields,
        "ready": (ready.queue, ready.kind, ready.key, lead // 10),
        "event": mine,
        "same": same,
        "topics": sorted(topic.replace(str(job_id), "ID") for topic in told.topics),
    }


def test_one_leaves_what_one_of_many_leaves() -> None:
    first = jobs.submit(**SPEC)  # by the general way: its queue does not exist yet
    alone = jobs.submit(**SPEC)
    (of_many,) = jobs.submit_many([JobSpec(**SPEC)])
    assert alone.state is of_many.state is State.AVAILABLE
    assert traces(first.id) == traces(alone.id) == traces(of_many.id)
    assert_consistent(connection.cursor())


@pytest.mark.parametrize("limits", [{}, {"key_max_running": 2}], ids=["without", "limited"])
def test_a_concurrency_key_stands_where_the_queue_limits_keys(limits: dict[str, int]) -> None:
    Queue.objects.create(name="line:x", **limits)
    alone = jobs.submit(**SPEC, concurrency_key="tenant 7")
    (of_many,) = jobs.submit_many([JobSpec(**SPEC, concurrency_key="tenant 7")])
    assert traces(alone.id) == traces(of_many.id)
    assert Ready.objects.get(pk=alone.id).key == ("tenant 7" if limits else None)


def test_it_goes_with_the_callers_transaction() -> None:
    Queue.objects.create(name="default")
    with transaction.atomic():
        job_id = jobs.submit("test.echo").id
        transaction.set_rollback(True)
    assert not Job.objects.filter(pk=job_id).exists()
    assert not Event.objects.exists()
    assert not Ready.objects.exists()


def test_an_error_leaves_the_callers_transaction_usable() -> None:
    Queue.objects.create(name="default")
    connection.cursor().execute(
        "ALTER TABLE jobs_ready ADD CONSTRAINT nothing_goes CHECK (rank IS NULL) NOT VALID"
    )
    try:
        with transaction.atomic():
            with pytest.raises(IntegrityError):
                jobs.submit("test.echo")
            Queue.objects.create(name="afterwards")
    finally:
        connection.cursor().execute("ALTER TABLE jobs_ready DROP CONSTRAINT nothing_goes")
    assert Queue.objects.filter(name="afterwards").exists()
    assert not Job.objects.exists()


def test_its_statement_is_planned_once() -> None:
    """Django's connections prepare nothing by default, not even where a cursor asks for it."""
    for _ in range(8):
        jobs.submit("test.echo", queue="line:x")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '-- The usual sub%'"
        )
        prepared, generic = cursor.fetchone()
    assert prepared, (
        "nothing was prepared"
    )  # once for each set of parameter types that was seen on this connection
    assert generic > 0


def test_a_time_out_or_a_key_is_no_deadline() -> None:
    job_id = jobs.submit(**SPEC, concurrency_key="tenant 7").id
    assert not Expiring.objects.filter(pk=job_id).exists()
    assert not prepare(JobSpec(**SPEC, concurrency_key="tenant 7")).timed
    assert prepare(JobSpec(**SPEC, deadline=5.0)).timed
