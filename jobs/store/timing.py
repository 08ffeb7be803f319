"""Jobs that must begin or end by a time, and the marks of attempts that may be what ends their workers.

All of it is rare and stands in narrow tables: a job without such a time is never looked at here. Times are judged by
the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobs.states import State
from jobs.store import moving
from jobs.store.statements import Cursor, execute, rows
from jobs.store.values import Beginning, ClaimedJob
from notifications.arrays import numbers

__all__ = ["begin_attempt", "expire_due", "watch"]

_MANY = 500
_PAUSE = 5.0
_WAITING = {State.BLOCKED, State.SCHEDULED, State.AVAILABLE, State.RETRYABLE}
EXPIRED = "expired: it had not begun by its start deadline"
LATE = "its deadline has passed"


def watch(cursor: Cursor, ids: Sequence[int]) -> None:
    """New jobs with a start deadline or a deadline: look at them in time."""
    execute(cursor, "insert_expiring", {"ids": numbers(list(ids))})


def begin_attempt(cursor: Cursor, job: ClaimedJob) -> Beginning | None:
    """May this attempt begin? None: it belongs to another worker by now."""
    params = {"job": job.id, "attempt": job.attempt, "worker": job.worker_id}
    for expired, seconds_left in rows(cursor, "begin_attempt", params):
        return Beginning(expired=expired, seconds_left=seconds_left)
    return None


def expire_due(cursor: Cursor, *, now: datetime | None = None) -> tuple[int, bool]:
    """Discard the jobs whose time is up; how many, and whether there may be more."""
    due = rows(cursor, "due_expiring", {"now": now, "limit": _MANY})
    if not due:
        return 0, False
    waiting = [row for row in due if row[1] in _WAITING]
    expired = [row[0] for row in waiting if row[2]]
    late = [row[0] for row in waiting if row[3] and not row[2]]
    closed = [
        job.id
        for ids, reason in ((expired, EXPIRED), (late, LATE))
        if ids
        for job in moving.close(cursor, ids, State.DISCARDED, reason=reason, move="expire")
    ]
    ended = [row[0] for row in due if row[1] not in _WAITING and row[1] != State.RUNNING]
    _forget(cursor, [*closed, *ended])
    _look_later(cursor, [row[0] for row in due if row[0] not in {*closed, *ended}])
    return len(closed), len(due) == _MANY


def _forget(cursor: Cursor, ids: Sequence[int]) -> None:
    if ids:
        execute(cursor, "delete_expiring", {"ids": numbers(sorted(ids))})


def _look_later(cursor: Cursor, ids: Sequence[int]) -> None:
    if ids:
        execute(cursor, "move_expiring", {"ids": numbers(sorted(ids)), "pause": _PAUSE})
