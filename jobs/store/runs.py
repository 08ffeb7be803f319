"""Runs over dead letters: the frozen set, its digest, and the row that says how far it is. Needs a transaction.

A run is changed only by whoever holds its row, so it advances on one worker at a time; the letters themselves are moved
by `letters.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from jobs.events import OPS, EventKind
from jobs.store.statements import Cursor, execute, rows
from notifications.log import EventDraft, append

__all__ = [
    "Run",
    "drop",
    "due",
    "find_returns",
    "freeze",
    "job_state",
    "lock",
    "next_items",
    "open_run",
    "topic",
    "write_back",
]

FILTERS = ("ids", "kind", "queue", "fingerprint", "error_class", "died_after", "died_before", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run's row as it was locked, and the database's clock then (`now`)."""

    id: int
    action: str
    state: str
    operator_id: int | None
    operator_name: str
    reason: str
    attempts: int
    canary: bool
    per_minute: int | None
    total: int
    digest: str
    done: int
    refused: int
    returned: int
    undone: int
    canary_job: int | None
    canary_passed: bool
    canary_waived: bool
    next_at: datetime | None
    looked_at: datetime | None
    why: str
    expires_at: datetime
    finished_at: datetime | None
    now: datetime


_COLUMNS = tuple(field.name for field in fields(Run))
_SAVED = (
    "state", "reason", "attempts", "canary", "per_minute", "done", "refused", "returned", "undone", "canary_job",
    "canary_passed", "canary_waived", "next_at", "looked_at", "why", "finished_at",
)  # fmt: skip


def open_run(
    cursor: Cursor,
    *,
    action: str,
    operator_id: int | None,
    name: str,
    filters: Mapping[str, Any],
    seconds: float,
) -> int:
    """A new run, as a preview that can be confirmed for `seconds`; its id."""
    params = {
        "action": action,
        "operator": operator_id,
        "name": name,
        "filters": json.dumps(filters, default=str),
        "seconds": seconds,
    }
    run_id: int = rows(cursor, "open_run", params)[0][0]
    return run_id


def freeze(cursor: Cursor, run_id: int, filters: Mapping[str, Any], *, limit: int) -> bool:
    """Put the letters that fit into the run, at most `limit`, and seal it. True: more fitted than that."""
    params = {name: filters.get(name) for name in FILTERS}
    found = execute(cursor, "freeze_letters", {**params, "run": run_id, "limit": limit + 1})
    truncated = found > limit
    if truncated:
        execute(cursor, "drop_last_item", {"run": run_id})
    if filters.get("ids") is not None:
        execute(cursor, "refuse_others", {"run": run_id, "ids": filters["ids"]})
    execute(cursor, "seal_run", {"run": run_id, "truncated": truncated})
    return truncated


def lock(cursor: Cursor, run_id: int, *, now: datetime | None = None) -> Run | None:
    """The run, held until the transaction ends; None where there is none."""
    return _one(rows(cursor, "lock_run", {"run": run_id, "now": now}))


def due(cursor: Cursor, *, every: float, now: datetime | None = None) -> Run | None:
    """A running run that nobody has looked after for `every` seconds, held; another worker's is passed over."""
    return _one(rows(cursor, "due_run", {"every": every, "now": now}))


def _one(found: Sequence[tuple[Any, ...]]) -> Run | None:
    return Run(**dict(zip(_COLUMNS, found[0], strict=True))) if found else None


def write_back(cursor: Cursor, run: Run, *, before: str) -> None:
    """Write the run back and tell whoever watches it; the other operators where its state changed (`before`)."""
    execute(cursor, "save_run", {"run": run.id, **{name: getattr(run, name) for name in _SAVED}})
    payload = {
        "run": run.id,
        "action": run.action,
        "operator": run.operator_name,
        "before": before,
        **{
            name: getattr(run, name)
            for name in ("state", "total", "done", "refused", "returned", "undone", "why")
        },
    }
    topics = (topic(run.id),) if before == run.state else (topic(run.id), OPS)
    append(cursor, [EventDraft(kind=EventKind.DEADLETTERS_RUN.value, topics=topics, payload=payload)])


def drop(cursor: Cursor, run_id: int) -> None:
    """A run that came to nothing leaves no row."""
    execute(cursor, "drop_run", {"run": run_id})


def topic(run_id: int) -> str:
    return f"deadletters:{run_id}"


def next_items(cursor: Cursor, run_id: int, limit: int) -> dict[int, datetime]:
    """The next letters of the set: time of death by job."""
    return dict(rows(cursor, "next_items", {"run": run_id, "limit": limit}))


def find_returns(cursor: Cursor, run: Run) -> list[int]:
    """Jobs of the run that have died again of the same error since it was last looked after. Marks them."""
    found = rows(cursor, "find_returns", {"run": run.id, "since": run.looked_at or run.now})
    return sorted(row[0] for row in found)


def job_state(cursor: Cursor, job_id: int) -> str | None:
    found = rows(cursor, "job_state", {"job": job_id})
    return found[0][0] if found else None
