"""Operator actions on what jobs come from and run through: submission, schedules; queues (`queue_steering.py`).

Same rules as `control.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError

from jobs import schedules
from jobs.control import Actor, acting, record, transaction_now
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.events import EventKind, ops_event
from jobs.models import Schedule
from jobs.payloads import check_integer, check_name, check_seconds, check_text
from jobs.queue_steering import (
    change_queue,
    create_queue,
    pause_kind,
    pause_queue,
    resume_kind,
    resume_queue,
)
from jobs.registry import NAME
from jobs.submit import JobSpec, Submitted, submit_many
from jobs.submit import submit_workflow as insert_workflow
from notifications.log import append

__all__ = [
    "change_queue",
    "create_queue",
    "create_schedule",
    "delete_schedule",
    "pause_kind",
    "pause_queue",
    "pause_schedule",
    "resume_kind",
    "resume_queue",
    "resume_schedule",
    "run_schedule",
    "submit",
    "submit_workflow",
    "update_schedule",
]

_FIELDS = ("name", "kind", "payload", "queue", "priority", "cron", "timezone", "misfire", "catch_up_seconds")
_YEAR = 31_536_000.0


def submit(actor: Actor, specs: list[JobSpec], *, name_items: bool | None = None) -> list[Submitted]:
    """Submit jobs as an operator or API client. Permission `jobs.submit_job`.

    name_items: errors name the item (`jobs[0].priority`); None: where there are several.
    """
    actor.require("jobs.submit_job")
    named = len(specs) > 1 if name_items is None else name_items
    return submit_many(specs, user_id=getattr(actor.user, "pk", None), name_items=named)


def submit_workflow(actor: Actor, name: str, specs: list[JobSpec]) -> tuple[int, list[Submitted]]:
    """Submit a workflow as an operator or API client: its id and its jobs. Permission `jobs.submit_job`."""
    actor.require("jobs.submit_job")
    return insert_workflow(name, specs, user_id=getattr(actor.user, "pk", None))


def create_schedule(actor: Actor, *, reason: str = "", **fields: Any) -> Schedule:
    """A new schedule from its fields (see the model). Permission `jobs.add_schedule`."""
    actor.require("jobs.add_schedule")
    return _save_schedule(actor, None, fields, reason)


def update_schedule(actor: Actor, schedule_id: int, *, reason: str = "", **fields: Any) -> Schedule:
    """Change fields of a schedule; its next slot follows from them. Permission `jobs.change_schedule`.

    Where all of them are as they were nothing happens, and nothing is recorded.
    """
    actor.require("jobs.change_schedule")
    return _save_schedule(actor, schedule_id, fields, reason)


def _save_schedule(actor: Actor, schedule_id: int | None, fields: dict[str, Any], reason: str) -> Schedule:
    check_text(reason, field="reason", max_length=1000, empty=True)
    verb = "create" if schedule_id is None else "change"
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise InvalidSubmission(unknown[0], "a schedule has no such field")

    def work(cursor: Any) -> Schedule:
        schedule = Schedule(created_by=actor.user) if schedule_id is None else _schedule(schedule_id)
        before = {} if schedule_id is None else _snapshot(schedule)
        for name, value in fields.items():
            setattr(schedule, name, value)
        expression = _check_schedule(schedule)
        taken = Schedule.objects.filter(name=schedule.name).exclude(pk=schedule.pk).exists()
        if taken:
            raise InvalidSubmission("name", f'there is a schedule "{schedule.name}" already')
        after = _snapshot(schedule)
        if after != before:
            schedule.next_slot_at = expression.next_after(transaction_now(cursor))
            schedule.save()
            _tell_schedule(cursor, actor, schedule, verb)
            record(cursor, actor, verb, "schedule", schedule.pk, reason=reason, before=before, after=after)
        return schedule

    try:
        return acting(work)
    except IntegrityError:
        # Somebody took the name between the look and the insert.
        raise InvalidSubmission("name", f'there is a schedule "{fields.get("name")}" already') from None


def _check_schedule(schedule: Schedule) -> Any:
    check_name(schedule.name, field="name", max_length=200)
    if schedule.queue and not NAME.match(schedule.queue):
        raise InvalidSubmission("queue", '1 to 100 letters, digits, "_", ".", ":" or "-"')
    if schedule.priority is not None:
        check_integer(schedule.priority, field="priority", low=-100, high=100)
    policies = [word for word, _ in Schedule.MISFIRE]
    if schedule.misfire not in policies:
        raise InvalidSubmission("misfire", f"must be one of {', '.join(policies)}")
    check_seconds(schedule.catch_up_seconds, field="catch_up_seconds", high=_YEAR)
    return schedules.check(
        cron=schedule.cron,
        timezone=schedule.timezone,
        kind=schedule.kind,
        payload=schedule.payload,
        queue=schedule.queue,
        priority=schedule.priority,
    )


def pause_schedule(actor: Actor, schedule_id: int, *, reason: str = "") -> Schedule:
    """Slots that come while a schedule is paused are not filled, also not later. Permission `jobs.pause_schedule`."""
    return _set_schedule_paused(actor, schedule_id, paused=True, reason=reason)


def resume_schedule(actor: Actor, schedule_id: int, *, reason: str = "") -> Schedule:
    """The next slot after now is the first to be filled again. Permission `jobs.pause_schedule`."""
    return _set_schedule_paused(actor, schedule_id, paused=False, reason=reason)


def _set_schedule_paused(actor: Actor, schedule_id: int, *, paused: bool, reason: str) -> Schedule:
    actor.require("jobs.pause_schedule")
    check_text(reason, field="reason", max_length=1000, empty=True)

    def work(cursor: Any) -> Schedule:
        schedule = _schedule(schedule_id)
        if (schedule.paused_at is not None) is paused:
            raise ActionRefused(f'The schedule "{schedule.name}" is {"already" if paused else "not"} paused.')
        before = _snapshot(schedule)
        now = transaction_now(cursor)
        schedule.paused_at = now if paused else None
        schedule.next_slot_at = schedules.parse(schedule.cron, schedule.timezone).next_after(now)
        schedule.save(update_fields=["paused_at", "next_slot_at"])
        verb = "pause" if paused else "resume"
        _tell_schedule(cursor, actor, schedule, verb)
        record(
            cursor,
            actor,
            verb,
            "schedule",
            schedule_id,
            reason=reason,
            before=before,
            after=_snapshot(schedule),
        )
        return schedule

    return acting(work)


def run_schedule(actor: Actor, schedule_id: int, *, reason: str = "") -> Submitted:
    """Submit the schedule's job once, now, beside its slots. Permissions `jobs.change_schedule`, `jobs.submit_job`."""
    actor.require("jobs.change_schedule")
    check_text(reason, field="reason", max_length=1000, empty=True)
    schedule = _schedule(schedule_id, lock=False)
    spec = JobSpec(
        kind=schedule.kind, payload=schedule.payload, queue=schedule.queue or None, priority=schedule.priority
    )

    def work(cursor: Any) -> Submitted:
        submitted = submit(actor, [spec])[0]
        after = {"job": submitted.id}
        record(cursor, actor, "run", "schedule", schedule_id, reason=reason, after=after)
        return submitted

    return acting(work)


def delete_schedule(actor: Actor, schedule_id: int, *, reason: str = "") -> None:
    """Delete a schedule and the list of its slots; its jobs stay. Permission `jobs.delete_schedule`."""
    actor.require("jobs.delete_schedule")
    check_text(reason, field="reason", max_length=1000, empty=True)

    def work(cursor: Any) -> None:
        schedule = _schedule(schedule_id)
        before = _snapshot(schedule)
        _tell_schedule(cursor, actor, schedule, "delete")
        schedule.delete()
        record(cursor, actor, "delete", "schedule", schedule_id, reason=reason, before=before)

    acting(work)


def _schedule(schedule_id: int, *, lock: bool = True) -> Schedule:
    rows = Schedule.objects.select_for_update() if lock else Schedule.objects.all()
    schedule = rows.filter(pk=schedule_id).first()
    if schedule is None:
        raise NotFound(f"There is no schedule {schedule_id}.")
    return schedule


def _snapshot(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in _FIELDS} | {"paused_at": _iso(schedule.paused_at)}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _tell_schedule(cursor: Any, actor: Actor, schedule: Schedule, verb: str) -> None:
    event = ops_event(
        EventKind.SCHEDULE_CHANGED, schedule=schedule.pk, name=schedule.name, action=verb, actor=actor.name
    )
    append(cursor, [event])
