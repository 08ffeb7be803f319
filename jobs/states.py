"""The states of a job and the one table of moves between them.

`jobs/store` makes these moves and no others; `docs/states.md` shows the same table, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FINISHED", "MOVES", "WAITING", "Move", "State", "allowed_from"]


class State(StrEnum):
    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    RUNNING = "running"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    DISCARDED = "discarded"
    SKIPPED = "skipped"


# Nothing leads out of these but an operator who takes a discard back; a dead letter is not among them, because an
# operator still decides about it.
FINISHED = frozenset({State.COMPLETED, State.CANCELLED, State.DISCARDED, State.SKIPPED})
WAITING = frozenset({State.BLOCKED, State.SCHEDULED, State.AVAILABLE, State.RETRYABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One named move: from which states, to which states, and why it happens."""

    name: str
    sources: frozenset[State]
    targets: frozenset[State]
    meaning: str


def _move(name: str, sources: str, targets: str, meaning: str) -> Move:
    return Move(
        name=name,
        sources=frozenset(State(word) for word in sources.split()),
        targets=frozenset(State(word) for word in targets.split()),
        meaning=meaning,
    )


_TABLE = (
    _move("submit", "", "blocked scheduled available", "a client hands the job in"),
    _move("unblock", "blocked", "available scheduled", "the last parent completed"),
    _move("skip", "blocked", "skipped", "a parent was cancelled, discarded or skipped"),
    _move("promote", "scheduled retryable", "available", "its time has come"),
    _move("run_now", "scheduled retryable", "available", "an operator does not want to wait"),
    _move("reschedule", "available", "scheduled", "an operator lets it wait for a time"),
    _move("claim", "available", "running", "a worker takes it; the attempt number grows"),
    _move("complete", "running", "completed", "the handler returned"),
    _move("retry", "running", "retryable", "the attempt failed and attempts are left"),
    _move("snooze", "running", "scheduled", "the handler asked for a later time; costs no attempt"),
    _move("give_back", "running", "available", "the worker stops before the job ended; costs no attempt"),
    _move(
        "rescue",
        "running",
        "available dead",
        "the worker stopped answering; after too many losses it is dead",
    ),
    _move("die", "running", "dead", "the last attempt failed, or the failure is permanent"),
    _move("replay", "dead", "available", "an operator gives the job fresh attempts"),
    _move("discard", "running dead", "discarded", "the handler or an operator decided it shall not run"),
    _move("undo_replay", "available", "dead", "an operator takes back a replay that has not started"),
    _move("undo_discard", "discarded", "dead", "an operator takes back a discard"),
    _move("undo_skip", "skipped", "blocked", "the discard that it was skipped with was taken back"),
    _move(
        "expire",
        "blocked scheduled available retryable running",
        "discarded",
        "its start deadline or deadline passed",
    ),
    _move("cancel", "blocked scheduled available retryable running", "cancelled", "somebody called it off"),
)

MOVES: dict[str, Move] = {move.name: move for move in _TABLE}


def allowed_from(name: str) -> list[str]:
    """The states the named move may start from, sorted, as the statements want them."""
    return sorted(MOVES[name].sources)
