"""The forms that keep schedules and queues: what they store, refuse on which field, and preview."""

from __future__ import annotations

import pytest
from django.test import Client

from jobs.models import Queue, Schedule
from tests.jobs.admin.world import World, schedule_fields, snapshot


def test_a_schedule_is_made_and_changed(world: World, as_operator: Client) -> None:
    answer = as_operator.post("/admin/jobs/schedule/new/", schedule_fields(payload='{"a": 1}'))
    row = Schedule.objects.get(name="daily")
    assert answer["Location"] == f"/admin/jobs/schedule/{row.pk}/change/"
    assert (row.payload, row.priority, row.catch_up_seconds) == ({"a": 1}, None, 3600)
    edit = f"/admin/jobs/schedule/{row.pk}/edit/"
    start = as_operator.get(edit).context["form"]
    body = {name: start[name].value() if start[name].value() is not None else "" for name in start.fields}
    as_operator.post(edit, body | {"cron": "0 5 * * *"})
    row.refresh_from_db()
    assert (row.cron, row.payload, row.name) == ("0 5 * * *", {"a": 1}, "daily")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "hourly"),
        ("name", "a\x00"),
        ("kind", "nothing.like.it"),
        ("cron", "0 0 30 2 *"),
        ("cron", "* * * *"),
        ("cron", "9" * 200),
        ("timezone", "Berlin"),
        ("payload", "[]"),
        ("queue", "a b"),
        ("priority", "1000"),
        ("misfire", "explode"),
        ("catch_up_seconds", "nan"),
        ("catch_up_seconds", "-1"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_on_its_field(
    field: str, value: str, world: World, as_operator: Client
) -> None:
    before = snapshot()
    answer = as_operator.post("/admin/jobs/schedule/new/", schedule_fields(**{field: value}))
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert snapshot() == before


def test_the_preview_shows_slots_in_the_zone_and_in_utc(world: World, as_operator: Client) -> None:
    answer = as_operator.get(
        "/admin/jobs/schedule/preview/", {"cron": "30 2 * * *", "timezone": "Asia/Kolkata"}
    )
    slots = answer.context["preview"].slots
    assert [(utc.hour, local.hour, local.minute) for utc, local in slots] == [(21, 2, 30)] * 5
    for cron, zone in (
        ("", ""),
        ("0 0 30 2 *", "UTC"),
        ("* * * * *", "Nowhere"),
        ("\x00", "\x00"),
        ("9" * 9999, "UTC"),
    ):
        wrong = as_operator.get("/admin/jobs/schedule/preview/", {"cron": cron, "timezone": zone})
        assert wrong.status_code == 200
        assert wrong.context["preview"].problem


def test_a_queue_is_changed_and_bad_values_are_refused(world: World, as_operator: Client) -> None:
    url = f"/admin/jobs/queue/{world.queue}/edit/"
    for ageing in ("0", "-1", "nan", "1e99", "x"):
        answer = as_operator.post(url, {"description": "d", "ageing_seconds": ageing})
        assert list(answer.context["form"].errors) == ["ageing_seconds"]
    as_operator.post(url, {"description": "letters", "ageing_seconds": ""})
    row = Queue.objects.get(pk=world.queue)
    assert (row.description, row.ageing_seconds) == ("letters", None)
