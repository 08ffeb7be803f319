"""Schedules: checked when saved, filled when due, each slot once.

A worker that finds a due schedule locks its row, inserts the slots (the unique key decides) and submits their jobs in
one transaction; the others skip the row. Slots are computed from the cron expression and the zone, never from the
moment a worker happened to look.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.core.cron import CronExpression
from jobs.core.errors import CoreError
from jobs.errors import InvalidSubmission
from jobs.events import EventKind, ops_event
from jobs.payloads import check_text
from jobs.registry import registry
from jobs.store import submitting
from jobs.store.statements import Cursor, execute, rows
from jobs.submit import JobSpec, prepare
from notifications.log import append

__all__ = ["MAX_CATCH_UP", "check", "fill_due", "next_slots", "parse", "refused", "try_again"]

logger = logging.getLogger("opsched.schedules")

MAX_CATCH_UP = 100
_AT_ONCE = 50
_STRETCH = 1_000
_REFUSED_SECONDS = 60.0
# Schedules this process could not fill, and until when it leaves them alone (monotonic). Memory, not the row: the slot
# stays due, for a worker that knows the zone or takes the payload, and for this one after a deploy.
_refused: dict[int, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A schedule whose time has come, as `lock_due_schedules.sql` returns it."""

    id: int
    name: str
    kind: str
    payload: str
    queue: str
    priority: int | None
    cron: str
    timezone: str
    misfire: str
    catch_up_seconds: float
    slot: datetime
    now: datetime
    user_id: int | None


def check(
    *, cron: str, timezone: str, kind: str, payload: Any, queue: str | None, priority: int | None
) -> CronExpression:
    """Refuse a schedule that could not run. Raises InvalidSubmission with the field."""
    expression = parse(cron, timezone)
    _first_slot(expression)
    prepare(JobSpec(kind=kind, payload=payload, queue=queue or None, priority=priority))
    return expression


def parse(cron: str, timezone: str) -> CronExpression:
    """The expression in its zone. Raises InvalidSubmission with the field."""
    check_text(cron, field="cron", max_length=200)
    check_text(timezone, field="timezone", max_length=60)
    try:
        return CronExpression.parse(cron, timezone)
    except CoreError as error:
        raise InvalidSubmission(
            getattr(error, "field", "cron"), getattr(error, "reason", str(error))
        ) from None


def _first_slot(expression: CronExpression) -> None:
    """An expression can be sound and yet name only times that a change of clocks leaves out."""
    try:
        expression.next_after(datetime.now(UTC))
    except CoreError as error:
        raise InvalidSubmission("cron", getattr(error, "reason", str(error))) from None


def next_slots(expression: CronExpression, after: datetime, count: int) -> list[datetime]:
    """The next `count` slots after an instant, in UTC."""
    slots: list[datetime] = []
    for _ in range(count):
        after = expression.next_after(after)
        slots.append(after)
    return slots


def refused() -> list[int]:
    """Schedules that could not be filled here within the last minute."""
    now = time.monotonic()
    return [schedule for schedule, until in list(_refused.items()) if now < until]


def try_again() -> None:
    """An operator did something: what was refused may fit now."""
    _refused.clear()


def fill_due(cursor: Cursor) -> int:
    """Fill the slots that are due, in the caller's transaction; the number of jobs submitted."""
    return sum(_fill(cursor, Due(**dict(zip(Due.__slots__, row, strict=True)))) for row in _locked(cursor))


def _locked(cursor: Cursor) -> list[tuple[Any, ...]]:
    params = {"kinds": registry.names(), "limit": _AT_ONCE, "refused": refused()}
    return rows(cursor, "lock_due_schedules", params)


def _fill(cursor: Cursor, due: Due) -> int:
    try:
        expression = parse(due.cron, due.timezone)
        following = expression.next_after(due.now)
        job = prepare(
            JobSpec(
                kind=due.kind, payload=json.loads(due.payload), queue=due.queue or None, priority=due.priority
            )
        )
    except (CoreError, InvalidSubmission) as error:
        # A deploy changed what the kind takes, or the zone is not known here: look again in a minute.
        logger.warning('schedule "%s" cannot be filled here: %s', due.name, error)
        _refused[due.id] = time.monotonic() + _REFUSED_SECONDS
        return 0
    _refused.pop(due.id, None)
    wanted, missed = _choose(due, *_past_slots(expression, due))
    filled = (
        [row[0] for row in rows(cursor, "insert_slots", {"schedule": due.id, "ats": wanted})]
        if wanted
        else []
    )
    if filled:
        placed = submitting.insert_jobs(cursor, [job] * len(filled), user_id=due.user_id)
        jobs = [job_id for job_id, _ in placed]
        execute(cursor, "bind_slots", {"schedule": due.id, "ats": filled, "jobs": jobs})
        _tell_filled(cursor, due, filled, jobs)
    if missed:
        append(cursor, [ops_event(EventKind.SCHEDULE_MISSED, schedule=due.id, name=due.name, slots=missed)])
    last = wanted[-1] if wanted else None
    params = {"next": following, "last": last, "schedule": due.id}
    execute(cursor, "advance_schedule", params)
    return len(filled)


def _past_slots(expression: CronExpression, due: Due) -> tuple[list[datetime], int]:
    """The slots from the due one up to now, within the catch-up window: the newest `MAX_CATCH_UP`, and how many."""
    after = max(due.slot, due.now - timedelta(seconds=due.catch_up_seconds)) - timedelta(microseconds=1)
    newest: deque[datetime] = deque(maxlen=MAX_CATCH_UP)
    number = 0
    while found := expression.slots_between(after, due.now, _STRETCH):
        newest.extend(found)
        number += len(found)
        after = found[-1]
    # The due slot itself is never too old: a catch-up of a second must not lose what a busy worker saw later.
    return (list(newest), number) if newest else ([due.slot], 1)


def _choose(due: Due, slots: Sequence[datetime], number: int) -> tuple[list[datetime], int]:
    """Which of the past slots to fill, and how many are left out. One slot is no misfire, whatever the policy."""
    fresh = due.now - slots[-1] < timedelta(seconds=60)
    match due.misfire:
        case "all":
            return list(slots), number - len(slots)
        case "skip" if not fresh:
            return [], number
        case _:
            return [slots[-1]], number - 1


def _tell_filled(cursor: Cursor, due: Due, filled: Sequence[datetime], jobs: Sequence[int]) -> None:
    drafts = [
        ops_event(EventKind.SCHEDULE_FILLED, schedule=due.id, name=due.name, slot=slot.isoformat(), job=job)
        for slot, job in zip(filled, jobs, strict=True)
    ]
    append(cursor, drafts)
