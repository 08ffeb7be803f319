"""How a run over dead letters advances: the next letters of its frozen set, each refused by name or moved and recorded.

The same steps for an operator who waits for the answer, and for the workers that look after canary and paced runs once
a second. Whoever takes a step holds the run's row, so a run advances in one place at a time, and a step that is killed
never happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jobs.acting import MAX_AT_ONCE
from jobs.states import State
from jobs.store import letters, runs
from jobs.store.runs import Run
from jobs.store.statements import Cursor
from jobs.store.values import Moved

__all__ = ["BATCH", "advance_next", "at_once", "finish", "step"]

BATCH = 1_000
"""Letters of one step of a run without a pace."""
_EVERY = 0.9
_BURST_SECONDS = 2.0


def at_once(
    cursor: Cursor,
    *,
    action: str,
    operator_id: int | None,
    name: str,
    ids: Sequence[int],
    reason: str,
    attempts: int = 1,
    payload: str | None = None,
) -> tuple[Run | None, list[Moved]]:
    """Replay or discard these letters now, as a run that is over at once. None: none of them could be taken.

    payload: JSON text that the (one) job gets before it is replayed.
    """
    run_id = runs.open_run(
        cursor, action=action, operator_id=operator_id, name=name, filters={"ids": len(ids)}, seconds=0
    )
    runs.freeze(cursor, run_id, {"ids": list(ids)}, limit=MAX_AT_ONCE)
    found = runs.lock(cursor, run_id)
    assert found is not None  # noqa: S101 - it was made a moment ago, in this transaction
    run, moved = step(
        cursor, replace(found, reason=reason, attempts=attempts), limit=MAX_AT_ONCE, payload=payload
    )
    if not moved:
        runs.drop(cursor, run_id)
        return None, []
    runs.write_back(cursor, finish(run), before=found.state)
    return run, moved


def step(
    cursor: Cursor, run: Run, *, limit: int, now: datetime | None = None, payload: str | None = None
) -> tuple[Run, list[Moved]]:
    """Take up to `limit` of the next letters: the run with its counts, and the jobs that were moved."""
    chosen = runs.next_items(cursor, run.id, limit)
    if not chosen:
        return run, []
    if run.action == "discard":
        moved = letters.discard(cursor, run, chosen)
    else:
        moved = letters.replay(cursor, run, chosen, now=now, payload=payload)
    _record(cursor, run, moved)
    refused = run.refused + len(chosen) - len(moved)
    return replace(run, done=run.done + len(moved), refused=refused), moved


def _record(cursor: Cursor, run: Run, moved: Sequence[Moved]) -> None:
    after = State.DISCARDED if run.action == "discard" else State.AVAILABLE
    told: Mapping[str, Any] = {"state": after.value, "run": run.id}
    letters.record(
        cursor,
        moved,
        actor_id=run.operator_id,
        name=run.operator_name,
        action=run.action,
        reason=run.reason,
        before={"state": State.DEAD.value},
        after=told,
    )


def finish(run: Run) -> Run:
    return replace(run, state="finished", finished_at=run.now, next_at=None, looked_at=run.now, why="")


def advance_next(cursor: Cursor, *, now: datetime | None = None) -> int | None:
    """Look after the run whose turn it is, if any: its id. The transaction is the caller's."""
    run = runs.due(cursor, every=_EVERY, now=now)
    if run is None:
        return None
    after = _advance(cursor, run, now)
    runs.write_back(cursor, after, before=run.state)
    return run.id


def _advance(cursor: Cursor, run: Run, now: datetime | None) -> Run:
    before = run
    back = runs.find_returns(cursor, run) if run.action == "replay" else []
    run = replace(run, returned=run.returned + len(back), looked_at=run.now)
    if back:
        return replace(run, state="halted", why=_came_back(back))
    if _asks_the_canary(run):
        run = _watch_canary(cursor, run)
        if run.canary_job is not None and not run.canary_passed:
            return run
    if run.canary and run.canary_job is None:
        run, moved = step(cursor, run, limit=1, now=now)
        # A canary that changed meanwhile was refused: the next letter is tried at the next look.
        run = replace(run, canary_job=moved[0].id if moved else None)
    else:
        due, next_at = _due(run)
        if due:
            run, _ = step(cursor, run, limit=due, now=now)
        run = replace(run, next_at=next_at)
    waits_for_canary = _asks_the_canary(run) and run.canary_job is not None
    if waits_for_canary or runs.next_items(cursor, run.id, 1):
        return run
    return finish(run) if run is not before else run


def _asks_the_canary(run: Run) -> bool:
    return run.canary and not (run.canary_passed or run.canary_waived)


def _watch_canary(cursor: Cursor, run: Run) -> Run:
    if run.canary_job is None:
        return run
    state = runs.job_state(cursor, run.canary_job)
    if state == State.COMPLETED:
        return replace(run, canary_passed=True)
    if state in (State.DEAD, State.CANCELLED, State.DISCARDED, None):
        fate = "died again, of another error" if state == State.DEAD else f"is {state or 'gone'}"
        return replace(run, state="halted", why=f"the canary, job {run.canary_job}, {fate}")
    return run


def _came_back(back: Sequence[int]) -> str:
    if len(back) == 1:
        return f"the error came back: job {back[0]} died again with the same fingerprint"
    return (
        f"the error came back: {len(back):,} jobs died again with the same fingerprint, first job {back[0]}"
    )


def _due(run: Run) -> tuple[int, datetime | None]:
    """How many letters are due by the pace, and when the next one is.

    What was missed while nobody looked is not made up for: it would be the flood that the pace is there to prevent.
    """
    if run.per_minute is None:
        return BATCH, None
    gap = 60 / run.per_minute
    start = run.next_at or run.now
    if start > run.now:
        return 0, start
    late = (run.now - start).total_seconds()
    most = max(1, math.ceil(_BURST_SECONDS / gap))
    due = min(math.floor(late / gap) + 1, most, BATCH)
    made_up = due > late / gap
    return due, (start + timedelta(seconds=due * gap)) if made_up else run.now + timedelta(seconds=gap)
