"""Operator actions on where and when waiting jobs run: another queue, another time. Same rules as `control.py`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from jobs.acting import (
    ActionResult,
    Actor,
    acting,
    checked_ids,
    checked_reason,
    record,
    result_of,
    transaction_now,
)
from jobs.errors import InvalidSubmission
from jobs.payloads import check_time
from jobs.registry import NAME
from jobs.store import rearranging

__all__ = ["move", "reschedule"]


def move(actor: Actor, ids: Iterable[int], queue: str, *, reason: str = "") -> ActionResult:
    """Waiting jobs go to another queue and keep their age there. Permission `jobs.move_job`."""
    actor.require("jobs.move_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)
    if not isinstance(queue, str) or not NAME.match(queue):
        raise InvalidSubmission("queue", '1 to 100 letters, digits, "_", ".", ":" or "-"')

    def work(cursor: Any) -> ActionResult:
        with transaction.atomic():
            moved = rearranging.move(cursor, wanted, queue)
            transaction.set_rollback(not moved)  # no queue is made for nothing
        for job in moved:
            before, after = {"queue": job.before}, {"queue": queue}
            record(cursor, actor, "move", "job", job.id, reason=reason, before=before, after=after)
        return result_of(
            wanted,
            moved,
            [],
            f"is {{state}}; only jobs that wait in another queue than {queue} can be moved there",
        )

    return acting(work)


def reschedule(actor: Actor, ids: Iterable[int], scheduled_at: datetime, *, reason: str = "") -> ActionResult:
    """Waiting jobs start at another time, which lies ahead. Permission `jobs.reschedule_job`."""
    actor.require("jobs.reschedule_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)
    at = check_time(scheduled_at, field="scheduled_at")

    def work(cursor: Any) -> ActionResult:
        if at <= transaction_now(cursor):
            raise InvalidSubmission("scheduled_at", "must lie ahead; to start a job at once, run it now")
        moved = rearranging.reschedule(cursor, wanted, at)
        for job in moved:
            before, after = {"scheduled_at": job.before.isoformat()}, {"scheduled_at": at.isoformat()}
            record(cursor, actor, "reschedule", "job", job.id, reason=reason, before=before, after=after)
        return result_of(wanted, moved, [], "is {state}; only the time of waiting jobs can be changed")

    return acting(work)
