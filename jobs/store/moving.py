"""Moves of jobs that no worker holds: promotion, replay, cancellation, priority; and requests to ones that do.

Each call is one transaction's worth of work: rows, narrow tables, workflow counts, children and events together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jobs.events import EventKind, chunks, encode_jobs, job_event
from jobs.states import State, allowed_from
from jobs.store.statements import Cursor, execute, rows
from jobs.store.values import Moved
from jobs.store.workflows import move_counts, skip_below
from notifications.arrays import numbers
from notifications.log import append, append_encoded

__all__ = [
    "close",
    "close_with",
    "hold",
    "hold_running",
    "promote",
    "replay",
    "request_cancel",
    "set_priority",
]

_EVENTS_PER_ROW = 500
_HOLDS = 5
_CLOSED = {State.CANCELLED: EventKind.JOB_CANCELLED, State.DISCARDED: EventKind.JOB_DISCARDED}
_MOVE = {State.CANCELLED: "cancel", State.DISCARDED: "discard"}


def promote(
    cursor: Cursor, ids: Sequence[int], *, now: datetime | None = None, anyway: bool = False
) -> list[Moved]:
    """Waiting jobs whose time has come become available. `anyway`: whatever their time."""
    found = rows(cursor, "promote", {"ids": numbers(ids), "now": now, "anyway": anyway})
    moved = [
        Moved(id=row[0], kind=row[1], queue=row[2], workflow_id=row[3], before=row[4], rank=row[5])
        for row in found
    ]
    if moved:
        _tell(cursor, EventKind.JOB_AVAILABLE, State.AVAILABLE, moved)
    return moved


def replay(cursor: Cursor, ids: Sequence[int], *, attempts: int, now: datetime | None = None) -> list[Moved]:
    """Dead letters become available, with at least `attempts` further attempts."""
    moved = _moved(rows(cursor, "replay", {"ids": list(ids), "attempts": attempts, "now": now}))
    if moved:
        execute(cursor, "insert_ready", {"ids": [job.id for job in moved]})
        append(cursor, [_event(EventKind.JOB_REPLAYED, job, State.AVAILABLE) for job in moved])
        move_counts(cursor, [(job.workflow_id, State.DEAD, State.AVAILABLE) for job in moved])
    return moved


def close(
    cursor: Cursor, ids: Sequence[int], target: State, *, reason: str, move: str | None = None
) -> list[Moved]:
    """Cancel waiting jobs, discard dead letters (or waiting jobs: `move="expire"`); what waits for them is skipped."""
    return close_with(cursor, ids, target, reason=reason, move=move)[0]


def close_with(
    cursor: Cursor, ids: Sequence[int], target: State, *, reason: str, move: str | None = None
) -> tuple[list[Moved], list[int]]:
    """As `close`, with the ids of the jobs that were skipped."""
    move = move or _MOVE[target]
    wanted = list(ids) if move == "discard" else hold(cursor, ids)
    params = {"ids": wanted, "sources": allowed_from(move), "target": target.value}
    moved = _moved(rows(cursor, "close", params))
    if not moved:
        return [], []
    told = {
        "jobs": [job.id for job in moved],
        "states": [target.value for _ in moved],
        "reasons": [reason for _ in moved],
    }
    execute(cursor, "insert_closed", told)
    append(cursor, [_event(_CLOSED[target], job, target, reason=reason[:300]) for job in moved])
    changes = [(job.workflow_id, State(job.before), target) for job in moved]
    in_workflows = [job.id for job in moved if job.workflow_id is not None]
    skipped = skip_below(cursor, in_workflows) if in_workflows else []
    changes += [(workflow_id, State.BLOCKED, State.SKIPPED) for _, workflow_id in skipped]
    move_counts(cursor, changes)
    return moved, [job for job, _ in skipped]


def request_cancel(cursor: Cursor, ids: Sequence[int], *, reason: str) -> list[Moved]:
    """Ask the workers that run these jobs to stop them."""
    asked = _moved(rows(cursor, "request_cancel", {"ids": list(ids), "reason": reason}))
    append(
        cursor,
        [_event(EventKind.JOB_CANCEL_REQUESTED, job, State.RUNNING, reason=reason[:300]) for job in asked],
    )
    return asked


def set_priority(cursor: Cursor, ids: Sequence[int], priority: int) -> list[Moved]:
    """A new priority for jobs that wait: in the row and in the rank that workers read."""
    states = allowed_from("cancel")
    states.remove(State.RUNNING.value)
    held = hold(cursor, ids)
    found = rows(cursor, "set_priority", {"ids": held, "priority": priority, "states": states})
    moved = _moved(found)
    drafts = [
        _event(EventKind.JOB_PRIORITY, job, State(row[5]), before=job.before, priority=priority)
        for job, row in zip(moved, found, strict=True)
    ]
    append(cursor, drafts)
    return moved


def hold(cursor: Cursor, ids: Sequence[int]) -> list[int]:
    """Those of the jobs that wait, with the rows they wait in locked. Needs a transaction.

    A job may move from one such row to the next while this waits for its turn, so it looks again afterwards. What it
    then finds is not locked on top of the rest, because that would be out of order and deadlocks two operators: it lets
    go and takes all of them anew, a few times at most.
    """
    held: list[int] = []
    for _ in range(_HOLDS):
        cursor.execute("SAVEPOINT opsched_hold")
        held = sorted(row[0] for row in rows(cursor, "lock_waiting", {"ids": sorted(ids)}))
        if not rows(cursor, "waiting", {"ids": sorted(set(ids) - set(held))}):
            break
        cursor.execute("ROLLBACK TO SAVEPOINT opsched_hold")
    else:
        held = sorted(row[0] for row in rows(cursor, "lock_waiting", {"ids": sorted(ids)}))
    return held


def hold_running(cursor: Cursor, ids: Sequence[int]) -> None:
    """Lock those of the jobs that run: first of all, if a move will come to them after their children or workflow."""
    rows(cursor, "lock_running", {"ids": sorted(ids)})


def _moved(found: list[tuple[Any, ...]]) -> list[Moved]:
    return [
        Moved(
            id=row[0], kind=row[1], queue=row[2], workflow_id=row[3], before=row[4] if len(row) > 4 else None
        )
        for row in found
    ]


def _event(event: EventKind, job: Moved, state: State, **extra: Any) -> Any:
    return job_event(
        event,
        job_id=job.id,
        kind=job.kind,
        queue=job.queue,
        workflow_id=job.workflow_id,
        state=state.value,
        **extra,
    )


def _tell(cursor: Cursor, event: EventKind, state: State, moved: Sequence[Moved]) -> None:
    for part in chunks(moved, _EVENTS_PER_ROW):
        told = [(job.id, job.kind, job.queue, job.workflow_id, 0) for job in part]
        topics, items = encode_jobs(event, state.value, told)
        append_encoded(cursor, topics=topics, items=items)
