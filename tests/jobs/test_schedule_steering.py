"""Operator actions on schedules: what is refused, and what a pause and a run by hand do to the slots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import steering
from jobs.database import django_cursor
from jobs.errors import InvalidSubmission, JobsError, UnknownKind
from jobs.models import Job, OperatorAction, Schedule, Slot
from jobs.schedules import fill_due
from tests.jobs.ground import consistent, last_action
from tests.jobs.steered import ME, schedule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _tables_agree(db: None) -> Iterator[None]:
    yield
    consistent()


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"cron": "61 * * * *"}, "cron", "61"),
        ({"cron": "* * * *"}, "cron", ""),
        ({"cron": ""}, "cron", "empty"),
        ({"cron": None}, "cron", "text"),
        ({"cron": "0 0 30 2 *"}, "cron", "never fires"),
        ({"cron": "* " * 300}, "cron", ""),
        ({"timezone": "Europe/Berln"}, "timezone", "Europe/Berlin"),
        ({"timezone": "../../etc/passwd"}, "timezone", ""),
        ({"kind": "test.ecko"}, "kind", 'Did you mean "test.echo"'),
        ({"kind": None}, "kind", ""),
        ({"kind": "test.sized", "payload": {"size": "big"}}, "payload.size", ""),
        ({"payload": [1]}, "payload", "object"),
        ({"payload": {"a": "\x00"}}, "payload", "NUL"),
        ({"queue": "a b"}, "queue", ""),
        ({"priority": 101}, "priority", "101"),
        ({"misfire": "never"}, "misfire", "latest, all, skip"),
        ({"misfire": ["latest"]}, "misfire", "latest, all, skip"),
        ({"catch_up_seconds": -1}, "catch_up_seconds", ""),
        ({"catch_up_seconds": float("nan")}, "catch_up_seconds", ""),
        ({"name": ""}, "name", "empty"),
        ({"name": " \u2003"}, "name", "blank"),
        ({"name": "x" * 201}, "name", "200"),
        ({"name": "a\x00"}, "name", ""),
        ({"next_slot_at": None}, "next_slot_at", "no such field"),
    ],
)
def test_a_schedule_that_could_not_run_is_refused_by_field(
    fields: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        schedule(**fields)
    assert caught.value.field == field
    assert words in str(caught.value)
    made = schedule(name="sound")
    with pytest.raises(InvalidSubmission) as caught:
        steering.update_schedule(ME, made.pk, **fields)
    assert caught.value.field == field
    assert Schedule.objects.count() == 1
    assert OperatorAction.objects.count() == 1


def test_an_unknown_kind_has_a_suggestion() -> None:
    with pytest.raises(UnknownKind) as caught:
        schedule(kind="test.ecko")
    assert caught.value.suggestion == "test.echo"


def test_a_name_is_taken_once() -> None:
    made = schedule()
    with pytest.raises(InvalidSubmission, match='there is a schedule "nightly" already'):
        schedule()
    other = schedule(name="other")
    with pytest.raises(InvalidSubmission, match="already"):
        steering.update_schedule(ME, other.pk, name="nightly")
    steering.update_schedule(ME, made.pk, name="nightly", priority=3)  # its own name is no conflict


def test_a_schedule_knows_its_next_slot_from_the_beginning() -> None:
    made = schedule()
    assert made.next_slot_at is not None
    assert made.next_slot_at > datetime.now(UTC)
    assert made.next_slot_at.minute == 30
    steering.update_schedule(ME, made.pk, cron="15 * * * *", timezone="UTC")
    later = Schedule.objects.get(pk=made.pk).next_slot_at
    assert later is not None
    assert later.minute == 15
    assert timedelta() < later - datetime.now(UTC) <= timedelta(hours=1)
    assert last_action().before["cron"] == "30 2 * * *"
    assert last_action().after["cron"] == "15 * * * *"


def test_running_a_schedule_now_is_beside_its_slots() -> None:
    made = schedule(queue="slow", priority=4)
    submitted = steering.run_schedule(ME, made.pk)
    job = Job.objects.get(pk=submitted.id)
    assert (job.kind, job.payload, job.queue, job.priority) == ("test.echo", {"n": 1}, "slow", 4)
    assert last_action().after == {"job": job.pk}
    assert not Slot.objects.exists()
    assert Schedule.objects.get(pk=made.pk).next_slot_at == made.next_slot_at


def test_running_a_schedule_whose_kind_is_gone_is_refused() -> None:
    made = schedule()
    Schedule.objects.update(kind="gone.kind")
    with pytest.raises(JobsError):
        steering.run_schedule(ME, made.pk)
    assert not Job.objects.exists()


def test_slots_of_a_pause_are_not_filled_afterwards() -> None:
    made = schedule(cron="0 * * * *", misfire="all")
    steering.pause_schedule(ME, made.pk)
    Schedule.objects.update(next_slot_at=datetime.now(UTC) - timedelta(hours=30))
    with django_cursor() as cursor:
        assert fill_due(cursor) == 0
    resumed = steering.resume_schedule(ME, made.pk)
    assert resumed.next_slot_at is not None
    assert resumed.next_slot_at > datetime.now(UTC)
    with django_cursor() as cursor:
        assert fill_due(cursor) == 0
    assert not Slot.objects.exists()


def test_deleting_a_schedule_leaves_its_jobs() -> None:
    made = schedule(cron="* * * * *")
    Schedule.objects.update(next_slot_at=datetime.now(UTC) - timedelta(seconds=70))
    with django_cursor() as cursor:
        assert fill_due(cursor) == 1
    steering.delete_schedule(ME, made.pk)
    assert not Slot.objects.exists()
    assert Job.objects.count() == 1
    assert last_action().before["name"] == "nightly"
    assert last_action().target_id == str(made.pk)
