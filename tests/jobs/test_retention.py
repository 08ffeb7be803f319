"""What ended long ago goes, with all that belongs to it; what is young, or waits for an operator, stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection

import jobs
from jobs import JobSpec, retention
from jobs.control import Actor
from jobs.database import django_cursor, open_connection
from jobs.models import (
    Attempt,
    Closed,
    DeadLetter,
    Dependency,
    Job,
    LogLine,
    Progress,
    Slot,
    WorkerProcess,
    Workflow,
)
from jobs.retention import LOCK, Janitor, delete_old_jobs, delete_old_workflows
from jobs.states import FINISHED, State
from jobs.steering import create_schedule
from jobs.store.statements import execute
from tests.jobs.ground import consistent, end, in_state, make_worker, take

pytestmark = pytest.mark.django_db

KEEP = 3600.0


@pytest.fixture(autouse=True)
def _tables_agree(db: None) -> Iterator[None]:
    yield
    consistent()


def grow_old(table: str = "jobs_job", where: str = "true") -> None:
    """Everything in it happened two hours earlier than it did."""
    columns = {
        "jobs_job": ("created_at", "finished_at"),
        "jobs_workflow": ("finished_at",),
        "jobs_workerprocess": ("stopped_at",),
    }[table]
    moved = ", ".join(f"{column} = {column} - interval '2 hours'" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {moved} WHERE {where}")


def sweep() -> int:
    """All stretches of one round."""
    deleted, after = 0, 0
    while after is not None:
        with django_cursor() as cursor:
            number, after = delete_old_jobs(cursor, keep=KEEP, after=after)  # type: ignore[assignment]
        deleted += number
    return deleted


def left() -> set[str]:
    return set(Job.objects.values_list("state", flat=True))


def test_only_what_has_ended_long_ago_goes() -> None:
    for state in State:
        if state not in (State.BLOCKED, State.SKIPPED):
            in_state(state)
    grow_old()
    in_state(State.COMPLETED)  # young
    assert sweep() == 3
    assert left() == set(State) - (FINISHED - {State.COMPLETED}) - {State.BLOCKED}
    assert Job.objects.filter(state="completed").count() == 1
    assert DeadLetter.objects.count() == 1
    assert sweep() == 0


def test_what_ended_lately_stays_however_old_the_job_is() -> None:
    job_id = in_state(State.COMPLETED)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET created_at = created_at - interval '1 year'")
    assert sweep() == 0
    assert Job.objects.get().pk == job_id


def test_everything_that_belongs_to_a_job_goes_with_it() -> None:
    gone, kept = in_state(State.CANCELLED), in_state(State.CANCELLED)
    for one in (gone, kept):
        Attempt.objects.create(
            job_id=one, number=1, finished_at=Job.objects.get(pk=one).created_at, outcome="failed"
        )
        LogLine.objects.create(job_id=one, attempt=1, at=Job.objects.get(pk=one).created_at, line="x")
        Progress.objects.create(job_id=one, attempt=1, fraction=1)
    grow_old(where=f"id = {gone}")
    assert sweep() == 1
    for model in (Attempt, LogLine, Progress, Closed):
        assert [row.job_id for row in model.objects.all()] == [kept]


def test_a_stretch_is_bounded_and_the_next_goes_on_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STRETCH", 4)
    worker = make_worker()
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo")] * 10)]
    end(worker, take(worker, *ids[1:]), State.COMPLETED)
    grow_old()
    with django_cursor() as cursor:
        assert delete_old_jobs(cursor, keep=KEEP, after=0) == (3, ids[3])
        assert delete_old_jobs(cursor, keep=KEEP, after=ids[3]) == (4, ids[7])
        assert delete_old_jobs(cursor, keep=KEEP, after=ids[7]) == (2, None)
    assert [job.pk for job in Job.objects.all()] == ids[:1]


def test_a_stretch_that_reaches_young_jobs_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STRETCH", 2)
    for _ in range(5):
        in_state(State.COMPLETED)
    with django_cursor() as cursor:
        assert delete_old_jobs(cursor, keep=KEEP, after=0) == (0, None)


def ended_workflow(last: State = State.COMPLETED) -> int:
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    workflow, (a, b) = jobs.submit_workflow("pair", specs)
    worker = make_worker()
    end(worker, take(worker, a.id), State.COMPLETED)
    end(worker, take(worker, b.id), last)
    return workflow


def test_a_workflow_goes_as_a_whole_and_not_while_a_dead_letter_is_in_it() -> None:
    old, dead, young = ended_workflow(), ended_workflow(State.DEAD), ended_workflow()
    running, _ = jobs.submit_workflow("runs", [JobSpec(kind="test.echo", key="a")])
    grow_old()
    grow_old("jobs_workflow", f"id <> {young}")
    assert sweep() == 0  # jobs of workflows go with these
    with django_cursor() as cursor:
        assert delete_old_workflows(cursor, keep=KEEP) == 2
        assert delete_old_workflows(cursor, keep=KEEP) == 0
    assert set(Workflow.objects.values_list("pk", flat=True)) == {dead, young, running}
    assert not Job.objects.filter(workflow_id=old).exists()
    assert Dependency.objects.count() == 2


def test_a_few_workflows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "WORKFLOWS", 2)
    for _ in range(3):
        ended_workflow()
    grow_old()
    grow_old("jobs_workflow")
    with django_cursor() as cursor:
        assert [delete_old_workflows(cursor, keep=KEEP) for _ in range(3)] == [4, 2, 0]


def test_workers_that_ended_long_ago_go_unless_they_still_hold_a_claim() -> None:
    live, stopped, holding = (make_worker() for _ in range(3))
    take(holding, jobs.submit("test.echo").id)
    WorkerProcess.objects.filter(pk__in=[stopped, holding]).update(
        state="lost", stopped_at=WorkerProcess.objects.get(pk=live).started_at
    )
    with django_cursor() as cursor:
        assert execute(cursor, "delete_old_workers", {"keep": KEEP}) == 0
    grow_old("jobs_workerprocess")
    with django_cursor() as cursor:
        assert execute(cursor, "delete_old_workers", {"keep": KEEP}) == 1
    assert set(WorkerProcess.objects.values_list("pk", flat=True)) == {live, holding}


@pytest.mark.django_db(transaction=True)
def test_one_janitor_at_a_time() -> None:
    in_state(State.COMPLETED)
    grow_old(where="true")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET finished_at = finished_at - interval '1 year'")
    janitor = Janitor(on_death=lambda *_: None)
    try:
        with open_connection("test holder") as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            assert janitor.tick() == 0
            assert Job.objects.exists()
            # Not left to the closing of the connection, which the server notices a moment later.
            holder.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        assert janitor.tick() == 1
        assert not Job.objects.exists()
    finally:
        janitor.stop()


@pytest.mark.django_db(transaction=True)
def test_slots_filled_long_ago_go_and_those_to_come_stay() -> None:
    schedule = create_schedule(Actor(), name="nightly", kind="test.echo", cron="0 2 * * *")
    assert schedule.next_slot_at is not None
    for days in (-400, -1, 0):
        Slot.objects.create(schedule=schedule, at=schedule.next_slot_at + timedelta(days=days), job_id=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_slot SET created_at = at - interval '1 year' WHERE at <> %s", [schedule.next_slot_at]
        )
        assert execute(cursor, "delete_old_slots", {"keep": 90 * 86400.0}) == 2
    assert [slot.at for slot in Slot.objects.all()] == [schedule.next_slot_at]
