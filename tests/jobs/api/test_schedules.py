"""Schedules over REST: made, changed, paused, run and deleted; refused by field; their slots, and those to come."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.models import Job, OperatorAction, Schedule, Slot
from tests.jobs.api.conftest import field_of

CRON = {"name": "hourly", "kind": "api.note", "cron": "0 * * * *"}


def test_a_schedule_is_created_changed_replaced_and_deleted(operator: Any) -> None:
    made = operator.ask("POST", "/schedules", CRON | {"priority": 5, "queue": "special"})
    assert made.status_code == 201
    found = operator.get(made["Location"]).json()
    assert (found["timezone"], found["misfire"], found["queue"]) == ("UTC", "latest", "special")
    assert found["next_slot_at"].endswith(":00:00Z")
    address = f"/schedules/{found['id']}"
    changed = operator.ask("PATCH", address, {"timezone": "Asia/Kolkata"}).json()
    assert (changed["priority"], changed["next_slot_at"][-7:]) == (5, ":30:00Z")
    replaced = operator.ask("PUT", address, CRON | {"name": "other"}).json()
    assert (replaced["priority"], replaced["queue"], replaced["timezone"]) == (None, None, "UTC")
    assert operator.ask("DELETE", address + "?reason=old").status_code == 204
    assert operator.ask("GET", address).status_code == 404
    assert OperatorAction.objects.get(action="delete").reason == "old"


@pytest.mark.parametrize("reason", ["%00", "a%0Ab", "x" * 1001])
def test_a_schedule_is_not_deleted_for_a_reason_that_cannot_be_recorded(operator: Any, reason: str) -> None:
    schedule = operator.ask("POST", "/schedules", CRON).json()["id"]
    assert field_of(operator.ask("DELETE", f"/schedules/{schedule}?reason={reason}")) == "reason"
    assert Schedule.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "* * *"}, "cron"),
        ({"cron": 5}, "cron"),
        ({"timezone": "Europe/Berlim"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"kind": "api.nothing"}, "kind"),
        ({"misfire": "maybe"}, "misfire"),
        ({"misfire": {}}, "misfire"),
        ({"catch_up_seconds": -1}, "catch_up_seconds"),
        ({"catch_up_seconds": 10**400}, "catch_up_seconds"),
        ({"payload": []}, "payload"),
        ({"queue": "no queue"}, "queue"),
        ({"priority": 101}, "priority"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"crom": "0 * * * *"}, "crom"),
    ],
)
def test_a_schedule_that_could_not_run_is_refused_by_field(operator: Any, fields: Any, field: str) -> None:
    assert field_of(operator.ask("POST", "/schedules", CRON | fields)) == field
    assert Schedule.objects.count() == 0


def test_names_of_schedules_are_unique(operator: Any) -> None:
    assert operator.ask("POST", "/schedules", CRON).status_code == 201
    assert field_of(operator.ask("POST", "/schedules", CRON)) == "name"


def test_pause_resume_and_run(operator: Any) -> None:
    schedule = operator.ask("POST", "/schedules", CRON).json()["id"]
    address = f"/schedules/{schedule}"
    assert operator.ask("POST", address + "/pause", {"reason": "holiday"}).json()["paused_at"]
    assert operator.ask("POST", address + "/pause").status_code == 409
    paused = operator.ask("GET", "/schedules?paused=true").json()["results"]
    assert [row["id"] for row in paused] == [schedule]
    assert operator.ask("POST", address + "/resume").json()["paused_at"] is None
    run = operator.ask("POST", address + "/run")
    assert run.status_code == 201
    assert Job.objects.get(pk=run.json()["id"]).kind == "api.note"


def test_slots_are_paged_by_time(operator: Any) -> None:
    schedule = operator.ask("POST", "/schedules", CRON).json()["id"]
    times = [f"2026-01-01T0{hour}:00:00Z" for hour in range(3)]
    for number, at in enumerate(times):
        Slot.objects.create(schedule_id=schedule, at=at, job_id=number + 1)
    first = operator.ask("GET", f"/schedules/{schedule}/slots?page_size=2").json()
    rest = operator.get(first["next"]).json()
    assert [row["at"] for row in first["results"] + rest["results"]] == times[::-1]
    assert rest["next"] is None


def test_preview_tells_the_next_times_in_both_zones(viewer: Any) -> None:
    asked = {
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "count": 2,
        "after": "2026-03-28T12:00:00Z",
    }
    told = viewer.ask("POST", "/schedules/preview", asked)
    # The clocks skip 02:30 on the 29th: it runs at the first moment after the gap.
    assert told.json()["slots"] == ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    assert told.json()["local"][0] == "2026-03-29T03:00:00+02:00"
    assert field_of(viewer.ask("POST", "/schedules/preview", asked | {"count": 101})) == "count"
    assert (
        field_of(viewer.ask("POST", "/schedules/preview", asked | {"after": "2026-03-28T12:00:00"}))
        == "after"
    )
    assert field_of(viewer.ask("POST", "/schedules/preview", {"cron": "0 0 31 6 *"})) == "cron"
