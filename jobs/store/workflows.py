"""What the end of a job means for its children and its workflow: release, skip, counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from jobs.events import EventKind, chunks, encode_jobs, workflow_event
from jobs.states import State
from jobs.store.statements import Cursor, execute, rows
from notifications.log import append, append_encoded

__all__ = ["Change", "move_counts", "release_children", "skip_below", "skip_descendants"]

# (workflow id, state before, state after); jobs without a workflow are passed over.
Change = tuple[int | None, State, State]

_COLUMN = {
    State.BLOCKED: "blocked",
    State.SCHEDULED: "active",
    State.AVAILABLE: "active",
    State.RUNNING: "active",
    State.RETRYABLE: "active",
    State.DEAD: "dead",
    State.COMPLETED: "completed",
    State.CANCELLED: "closed",
    State.DISCARDED: "closed",
    State.SKIPPED: "closed",
}
_COLUMNS = ("active", "blocked", "dead", "completed", "closed")
_EVENTS_PER_ROW = 500


def release_children(cursor: Cursor, parents: Sequence[int]) -> tuple[int, list[Change]]:
    """Count completed parents down; children that wait for nobody any more become available or scheduled."""
    free = [row[0] for row in rows(cursor, "lower_pending", {"parents": sorted(parents)})]
    if not free:
        return 0, []
    freed = rows(cursor, "unblock", {"ids": free, "now": None})
    ready = [row for row in freed if row[4] == State.AVAILABLE]
    if ready:
        execute(cursor, "insert_ready", {"ids": [row[0] for row in ready]})
    for state, group in (
        (State.AVAILABLE, ready),
        (State.SCHEDULED, [row for row in freed if row not in ready]),
    ):
        for part in chunks(group, _EVENTS_PER_ROW):
            told = [(row[0], row[1], row[2], row[3], 0) for row in part]
            topics, items = encode_jobs(EventKind.JOB_AVAILABLE, state.value, told)
            append_encoded(cursor, topics=topics, items=items)
    return len(ready), [(row[3], State.BLOCKED, State(row[4])) for row in freed]


def skip_descendants(cursor: Cursor, ended: Sequence[int]) -> list[Change]:
    """Jobs below ones that ended without completing can never run: they are skipped, all the way down."""
    return [(workflow_id, State.BLOCKED, State.SKIPPED) for _, workflow_id in skip_below(cursor, ended)]


def skip_below(cursor: Cursor, ended: Sequence[int]) -> list[tuple[int, int | None]]:
    """As `skip_descendants`: the jobs that were skipped, each with its workflow."""
    below = [row[0] for row in rows(cursor, "blocked_descendants", {"ids": list(ended)})]
    if not below:
        return []
    params = {"ids": below, "sources": [State.BLOCKED.value], "target": State.SKIPPED.value}
    skipped = rows(cursor, "close", params)
    reasons = ["a parent ended without completing"] * len(skipped)
    states = [State.SKIPPED.value] * len(skipped)
    execute(
        cursor, "insert_closed", {"jobs": [row[0] for row in skipped], "states": states, "reasons": reasons}
    )
    for part in chunks(skipped, _EVENTS_PER_ROW):
        told = [(row[0], row[1], row[2], row[3], 0) for row in part]
        topics, items = encode_jobs(EventKind.JOB_SKIPPED, State.SKIPPED.value, told)
        append_encoded(cursor, topics=topics, items=items)
    return [(row[0], row[3]) for row in skipped]


def move_counts(cursor: Cursor, changes: Iterable[Change]) -> None:
    """Keep the counts of the workflows in step, and say so where a workflow's state changed."""
    deltas: dict[int, Counter[str]] = defaultdict(Counter)
    for workflow_id, before, after in changes:
        if workflow_id is not None and _COLUMN[before] != _COLUMN[after]:
            deltas[workflow_id][_COLUMN[before]] -= 1
            deltas[workflow_id][_COLUMN[after]] += 1
    if not deltas:
        return
    ids = sorted(deltas)
    params = {"ids": ids, **{column: [deltas[one][column] for one in ids] for column in _COLUMNS}}
    drafts = []
    for row in rows(cursor, "move_counts", params):
        workflow_id, name, before, state, total, *counts = row
        if before != state:
            numbers = dict(zip(_COLUMNS, counts, strict=True))
            drafts.append(
                workflow_event(workflow_id, name=name, before=before, state=state, total=total, **numbers)
            )
    append(cursor, drafts)
