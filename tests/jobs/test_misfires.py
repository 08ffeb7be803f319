"""Slots that were missed: a schedule's policy says which are filled, to a bound, and what is left out is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.core.cron import CronExpression
from jobs.models import Job, Schedule, Slot
from jobs.schedules import MAX_CATCH_UP
from tests.jobs.ground import told
from tests.jobs.slots import due, fill, made, next_slot, now, slots

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tables_agree")]


@pytest.mark.parametrize(("misfire", "number"), [("latest", 1), ("all", 10), ("skip", 0)])
def test_missed_slots_are_filled_as_the_schedule_says(misfire: str, number: int) -> None:
    """A slot every two hours, and nobody looked for 20 of them."""
    made(late=timedelta(hours=20), cron="30 */2 * * *", misfire=misfire, name="s")
    # No slot may be near: "skip" would rightly fill one of the last minute, and another could come meanwhile.
    if _is_near("30 */2 * * *"):
        Schedule.objects.update(cron="0 1-23/2 * * *")
    schedule = Schedule.objects.get()
    first = next_slot(schedule) - timedelta(seconds=1)
    missed = len(CronExpression.parse(schedule.cron, "UTC").slots_between(first, now(), 100))
    filled = fill()
    assert filled == (missed if misfire == "all" else number)
    assert abs(missed - 10) <= 1
    assert len(slots()) == Job.objects.count() == filled
    told_missed = [item[2]["slots"] for item in told("schedule.missed")]
    assert told_missed == ([] if filled == missed else [missed - filled])
    assert next_slot(Schedule.objects.get()) > now()
    assert fill() == 0


def _is_near(cron: str) -> bool:
    near = timedelta(seconds=90)
    return bool(CronExpression.parse(cron, "UTC").slots_between(now() - near, now() + near, 5))


def test_latest_fills_the_newest_of_them() -> None:
    made(late=timedelta(hours=3), misfire="latest")
    assert fill() == 1
    assert timedelta() <= now() - slots()[0] < timedelta(seconds=65)


def test_one_slot_that_is_a_little_late_is_no_misfire() -> None:
    due(late=timedelta(seconds=40), misfire="skip")
    assert fill() == 1
    assert told("schedule.missed") == []


def test_one_slot_that_is_more_than_a_minute_late_is_one() -> None:
    due(late=timedelta(seconds=61), misfire="skip")
    assert fill() == 0
    assert told("schedule.missed")[0][2]["slots"] == 1


def test_catching_up_takes_the_newest_hundred_and_says_how_many_it_left() -> None:
    made(late=timedelta(minutes=250), misfire="all")
    assert fill() == MAX_CATCH_UP
    found = slots()
    assert len(found) == MAX_CATCH_UP
    assert now() - found[-1] < timedelta(seconds=65)
    assert found[-1] - found[0] == timedelta(minutes=MAX_CATCH_UP - 1)
    assert told("schedule.missed")[0][2]["slots"] in (149, 150, 151)
    bound = {slot.job_id for slot in Slot.objects.all()}
    assert bound == set(Job.objects.values_list("pk", flat=True))


def test_slots_older_than_the_catch_up_are_let_go() -> None:
    made(late=timedelta(hours=2), misfire="all", catch_up_seconds=600)
    assert fill() in (10, 11)
    assert now() - slots()[0] < timedelta(seconds=665)


def test_the_due_slot_is_filled_even_when_the_catch_up_is_tiny() -> None:
    schedule = due(late=timedelta(seconds=30), misfire="all", catch_up_seconds=1)
    assert fill() == 1
    assert slots() == [schedule.next_slot_at]
