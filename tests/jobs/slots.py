"""Schedules whose slots are due or were missed, a look that fills them, and what it has filled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from jobs import steering
from jobs.control import Actor
from jobs.core.cron import CronExpression
from jobs.database import django_cursor
from jobs.models import Schedule, Slot
from jobs.schedules import fill_due

ME = Actor(name="me")


def now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def made(*, late: timedelta, **fields: Any) -> Schedule:
    """A schedule whose next slot was the first one after `late` ago."""
    schedule = steering.create_schedule(
        ME, **{"name": "s", "kind": "test.echo", "cron": "* * * * *", "timezone": "UTC", **fields}
    )
    slot = CronExpression.parse(schedule.cron, schedule.timezone).next_after(now() - late)
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=slot)
    return Schedule.objects.get(pk=schedule.pk)


def due(*, late: timedelta, **fields: Any) -> Schedule:
    """A schedule with one slot, that long ago (or ahead): half a year away from the next that its expression names,
    so that no minute that begins meanwhile adds another."""
    schedule = made(late=timedelta(), **{"cron": f"0 0 1 {(now().month + 5) % 12 + 1} *", **fields})
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=now() - late)
    return Schedule.objects.get(pk=schedule.pk)


def next_slot(schedule: Schedule) -> datetime:
    assert schedule.next_slot_at is not None
    return schedule.next_slot_at


def fill() -> int:
    with django_cursor() as cursor:
        return fill_due(cursor)


def slots() -> list[datetime]:
    return list(Slot.objects.order_by("at").values_list("at", flat=True))
