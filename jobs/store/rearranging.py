"""Waiting jobs change their place: another queue, another time. Rows, lanes and events in one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jobs.events import EventKind, job_event
from jobs.states import State, allowed_from
from jobs.store.limiting import make_queue
from jobs.store.moving import hold
from jobs.store.statements import Cursor, rows
from jobs.store.values import Moved
from notifications.log import EventDraft, append

__all__ = ["move", "reschedule"]


def move(cursor: Cursor, ids: Sequence[int], queue: str) -> list[Moved]:
    """Waiting jobs go to that queue, which is made where there is none; `before` is where they were."""
    states = allowed_from("cancel")
    states.remove(State.RUNNING.value)
    make_queue(cursor, queue)
    found = rows(cursor, "move_jobs", {"ids": hold(cursor, ids), "queue": queue, "states": states})
    append(cursor, [_event(EventKind.JOB_MOVED, row, before=row[4]) for row in found])
    return [_moved(row) for row in found]


def reschedule(cursor: Cursor, ids: Sequence[int], at: datetime) -> list[Moved]:
    """Waiting jobs start at that time, which lies ahead; `before` is when they might have started."""
    # Those that wait for time or parents already change their time and not their state.
    states = [*allowed_from("reschedule"), *allowed_from("promote"), State.BLOCKED.value]
    found = rows(cursor, "reschedule", {"ids": hold(cursor, ids), "at": at, "states": states})
    told = at.isoformat()
    append(
        cursor, [_event(EventKind.JOB_RESCHEDULED, row, before=row[4].isoformat(), at=told) for row in found]
    )
    return [_moved(row) for row in found]


def _moved(row: tuple[Any, ...]) -> Moved:
    return Moved(id=row[0], kind=row[1], queue=row[2], workflow_id=row[3], before=row[4])


def _event(event: EventKind, row: tuple[Any, ...], **extra: Any) -> EventDraft:
    return job_event(
        event, job_id=row[0], kind=row[1], queue=row[2], workflow_id=row[3], state=row[5], **extra
    )
