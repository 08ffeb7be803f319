"""Dead letters leave for a run and come back by an undo; and the counts of their groups. Needs a transaction.

Order of locks: the run, unique keys (undo of a discard), the rows in jobs_ready (undo of a replay), the jobs by id,
everything else. The group counts
take no lock at all: see `DeadLetterTally`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.events import EventKind, chunks, job_event, ops_event
from jobs.states import State
from jobs.store import moving
from jobs.store.runs import Run
from jobs.store.statements import Cursor, execute, rows
from jobs.store.uniqueness import take_again
from jobs.store.values import Moved
from jobs.store.workflows import move_counts
from notifications.log import append

__all__ = ["SPENT", "discard", "fold", "forget", "record", "recount", "replay", "undo_discard", "undo_replay"]

FOLD_LOCK = 0x6F70_7363_0002  # the janitor's is ..._0001
_FOLDED = 50_000
_FORGOTTEN = 1_000
SPENT = "has used up the 32,000 attempts that a job can have"
_CHANGED = "it has died again since the set was chosen"


def replay(
    cursor: Cursor,
    run: Run,
    chosen: Mapping[int, datetime],
    *,
    now: datetime | None = None,
    payload: str | None = None,
) -> list[Moved]:
    """Replay those of the run's letters that are still the ones that were chosen; the others are refused by name.

    payload: JSON text that the jobs get first; the old one is kept for an undo.
    """
    held = _with_attempts_left(cursor, run, _hold(cursor, run, chosen))
    _keep(cursor, run, held, now=now, payload=payload is not None)
    if payload is not None:
        for job in held:
            execute(cursor, "set_payload", {"payload": payload, "job": job})
    return moving.replay(cursor, held, attempts=run.attempts, now=now) if held else []


def _with_attempts_left(cursor: Cursor, run: Run, ids: Sequence[int]) -> list[int]:
    spent = {row[0] for row in rows(cursor, "spent_jobs", {"ids": list(ids)})} if ids else set()
    if spent:
        params = {"run": run.id, "ids": sorted(spent), "reasons": [SPENT for _ in spent]}
        execute(cursor, "refuse_items", params)
    return [job for job in ids if job not in spent]


def discard(cursor: Cursor, run: Run, chosen: Mapping[int, datetime]) -> list[Moved]:
    """Discard likewise. What is skipped with them stands in the run, too."""
    held = _hold(cursor, run, chosen)
    if not held:
        return []
    _keep(cursor, run, held, now=None, payload=False)
    moved, skipped = moving.close_with(cursor, held, State.DISCARDED, reason=run.reason)
    if skipped:
        execute(cursor, "add_skipped", {"run": run.id, "ids": skipped})
    return moved


def _hold(cursor: Cursor, run: Run, chosen: Mapping[int, datetime]) -> list[int]:
    """Ids, in order, of jobs that are held and have the letter that was chosen."""
    ids = sorted(chosen)
    dead = [row[0] for row in rows(cursor, "lock_dead", {"ids": ids})]
    times = dict(rows(cursor, "death_times", {"ids": dead}))
    held = [job for job in dead if times.get(job) == chosen[job]]
    left = sorted(set(ids) - set(held))
    if left:
        states = {row[0]: row[1] for row in rows(cursor, "states_of", {"ids": left})}
        reasons = [
            _CHANGED if job in times else f"is {states[job]}" if job in states else "there is no such job"
            for job in left
        ]
        execute(cursor, "refuse_items", {"run": run.id, "ids": left, "reasons": reasons})
    return held


def _keep(cursor: Cursor, run: Run, ids: Sequence[int], *, now: datetime | None, payload: bool) -> None:
    execute(cursor, "keep_letters", {"run": run.id, "ids": list(ids), "now": now, "payload": payload})


def undo_replay(cursor: Cursor, run_id: int, ids: Sequence[int]) -> tuple[list[Moved], dict[int, str]]:
    """Those that have not started become dead letters again, as they were. None is refused for another reason."""
    held = moving.hold(cursor, ids)
    moved = _moved(rows(cursor, "undo_replay", {"run": run_id, "ids": held})) if held else []
    _tell(cursor, moved, State.DEAD)
    move_counts(cursor, [(job.workflow_id, State.AVAILABLE, State.DEAD) for job in moved])
    return moved, {}


def undo_discard(cursor: Cursor, run_id: int, ids: Sequence[int]) -> tuple[list[Moved], dict[int, str]]:
    """Discarded ones become dead letters again, and what was skipped with them waits for its parents again.

    Also: jobs that must stay discarded, and why: a dead letter is unfinished, and another has the unique key by now.
    """
    refused = take_again(cursor, ids)
    wanted = [job for job in ids if job not in refused]
    edges = rows(cursor, "skipped_with", {"run": run_id})
    # All jobs this can touch are held at once, in order: parents too, so that none completes while they are counted.
    everybody = sorted({*wanted, *(edge[0] for edge in edges), *(edge[1] for edge in edges)})
    rows(cursor, "lock_jobs", {"ids": everybody})
    moved = _moved(rows(cursor, "undo_discard", {"run": run_id, "ids": wanted}))
    _tell(cursor, moved, State.DEAD)
    back = _wait_again(cursor, run_id, edges) if moved else []
    _tell(cursor, back, State.BLOCKED)
    changes = [(job.workflow_id, State.DISCARDED, State.DEAD) for job in moved]
    move_counts(cursor, [*changes, *((job.workflow_id, State.SKIPPED, State.BLOCKED) for job in back)])
    return moved, refused


def _wait_again(cursor: Cursor, run_id: int, edges: Sequence[tuple[Any, ...]]) -> list[Moved]:
    """Skipped jobs none of whose parents has ended without completing, those that come back with them left out."""
    parents: dict[int, list[int]] = {}
    for child, parent in edges:
        parents.setdefault(child, []).append(parent)
    ids = sorted({*parents, *(parent for each in parents.values() for parent in each)})
    states = dict(rows(cursor, "states_of", {"ids": ids}))
    back = {child for child in parents if states.get(child) == State.SKIPPED}
    ended = {State.CANCELLED, State.DISCARDED, State.SKIPPED}
    while True:
        stuck = {
            child
            for child in back
            if any(
                parent not in back and states.get(parent, State.CANCELLED) in ended
                for parent in parents[child]
            )
        }
        if not stuck:
            break
        back -= stuck
    return _moved(rows(cursor, "undo_skip", {"run": run_id, "ids": sorted(back)})) if back else []


def fold(cursor: Cursor) -> int:
    """Add what came and went to the groups; how many of them changed."""
    return execute(cursor, "fold_tallies", {"lock": FOLD_LOCK, "limit": _FOLDED})


def recount(cursor: Cursor) -> list[tuple[str, int, int]]:
    """Put right the groups whose count is wrong: fingerprint, the count before, the count now. Reads all letters."""
    return sorted((row[0], row[1], row[2]) for row in rows(cursor, "recount_groups", {}))


def forget(cursor: Cursor, *, keep: float) -> int:
    """Delete previews that expired, runs that ended long ago, and groups that are empty and nobody's."""
    gone = execute(cursor, "forget_runs", {"keep": keep, "limit": _FORGOTTEN})
    return gone + execute(cursor, "forget_groups", {"keep": keep, "limit": _FORGOTTEN})


def record(
    cursor: Cursor,
    moved: Sequence[Moved],
    *,
    actor_id: int | None,
    name: str,
    action: str,
    reason: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    """Write down who did this to each of these jobs, and tell the others once for all of them."""
    if moved:
        params = {
            "actor": actor_id,
            "name": name,
            "action": action,
            "reason": reason,
            "before": json.dumps(before),
            "after": json.dumps(after),
            "ids": [job.id for job in moved],
        }
        execute(cursor, "insert_actions", params)
        target = {"target_type": "job", "target_id": str(moved[0].id)}
        told = ops_event(
            EventKind.OPERATOR_ACTION, actor=name, action=action, reason=reason, count=len(moved), **target
        )
        append(cursor, [told])


def _moved(found: Sequence[tuple[Any, ...]]) -> list[Moved]:
    return [Moved(id=row[0], kind=row[1], queue=row[2], workflow_id=row[3]) for row in found]


def _tell(cursor: Cursor, moved: Sequence[Moved], state: State) -> None:
    for part in chunks(moved, 500):
        append(
            cursor,
            [
                job_event(
                    EventKind.JOB_UNDONE,
                    job_id=job.id,
                    kind=job.kind,
                    queue=job.queue,
                    workflow_id=job.workflow_id,
                    state=state.value,
                )
                for job in part
            ],
        )
