"""A slot of a schedule, and several workers that find it due at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs import schedules, steering
from jobs.control import Actor
from jobs.models import Job, Schedule, Slot
from tests.races.harness import KIND, Hand, together
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]


def due_schedules(count: int) -> None:
    for number in range(count):
        made = steering.create_schedule(
            Actor(),
            name=f"s{number}",
            kind=KIND,
            payload={"task": "t", "seconds": 0},
            cron="* * * * *",
            timezone="UTC",
        )
        slot = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=0)
        Schedule.objects.filter(pk=made.pk).update(next_slot_at=slot)


def fill_together(hand: Hands) -> int:
    hands = [hand(name) for name in "abcd"]
    return sum(together(*(lambda one=one: one.do(schedules.fill_due) for one in hands)))


@pytest.mark.parametrize("round_", range(3))
def test_a_slot_is_filled_once_by_four_workers(hand: Hands, round_: int) -> None:
    due_schedules(5)
    assert fill_together(hand) == 5
    assert Slot.objects.count() == Job.objects.count() == 5
    assert set(Slot.objects.values_list("job_id", flat=True)) == set(Job.objects.values_list("pk", flat=True))
    assert_consistent(connection.cursor())


def fill_behind(hand: Hands, behind: Callable[..., int]) -> tuple[int, int]:
    """A worker comes while another has filled the slot and not committed. How many each of them filled."""
    one, other = hand("one"), hand("other")
    one.connection.execute("BEGIN")
    filled = one.do(schedules.fill_due)
    return filled, behind(lambda: one.connection.execute("COMMIT"), lambda: other.do(schedules.fill_due))


def test_the_unique_key_holds_where_the_row_lock_does_not(
    hand: Hands, spoilt: Callable[..., None], behind: Callable[..., int]
) -> None:
    """Without the lock both come to the same slot; the second waits for it, and finds it taken."""
    spoilt("lock_due_schedules", "FOR UPDATE SKIP LOCKED", "")
    due_schedules(1)
    assert fill_behind(hand, behind) == (1, 0)
    assert Slot.objects.count() == Job.objects.count() == 1


def test_without_key_and_lock_a_slot_is_filled_more_than_once(
    hand: Hands, spoilt: Callable[..., None], behind: Callable[..., int]
) -> None:
    """The negative control."""
    spoilt("lock_due_schedules", "FOR UPDATE SKIP LOCKED", "")
    spoilt("insert_slots", "ON CONFLICT (schedule_id, at) DO NOTHING", "")
    due_schedules(1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_slot DROP CONSTRAINT slot_once")
    try:
        assert fill_behind(hand, behind) == (1, 1)
        assert Job.objects.count() == 2
    finally:
        Slot.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_slot ADD CONSTRAINT slot_once UNIQUE (schedule_id, at)")
