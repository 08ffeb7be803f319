"""The values that cross into and out of the store. Whatever the driver returns is turned into one of these here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any

from jobs.states import State
from jobs.unique import Unique

__all__ = [
    "Alike",
    "Beginning",
    "Claimed",
    "ClaimedJob",
    "Error",
    "Moved",
    "NewJob",
    "Recorded",
    "Transition",
    "merge",
]


@dataclass(slots=True, kw_only=True)
class NewJob:
    """A validated job to insert. `payload`, `options`: JSON text. `pending`: number of parents.

    Not frozen, because a bulk makes many.
    """

    kind: str
    queue: str
    priority: int
    max_attempts: int
    payload: str
    options: str | None = None
    scheduled_at: datetime | None = None
    task: str = ""
    pending: int = 0
    timed: bool = False
    """Has a start deadline or a deadline among its options."""
    unique: Unique | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Many jobs that may start at once and differ in nothing but their payloads.

    job: what they share. parts: how many, and their payloads as one JSON array; a statement takes one part.
    """

    job: NewJob
    parts: Sequence[tuple[int, str]]


@dataclass(slots=True)
class ClaimedJob:
    """A job this worker holds: what the handler needs, and the fence (`attempt`, `worker_id`).

    One is made for every job on the hot path. So it is not frozen, which would cost three times as much, and the
    fields up to `claim_id` stand in the order of the claim's row, since naming each would cost as much again.
    """

    id: int
    kind: str
    queue: str
    attempt: int
    max_attempts: int
    payload: str
    options: str | None
    workflow_id: int | None
    task: str
    claim_id: int = 0
    worker_id: int = 0
    limited: bool = False  # holds a place that others wait for
    stop_at: float | None = None
    """The job's deadline on `time.monotonic()`, known once its handler is about to begin; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What the database says before a handler begins. `expired`: it must not. `seconds_left`: until its deadline."""

    expired: bool
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim got: a value this code owns, never the driver's rows. Without jobs there is no claim id.

    busy: queues whose limits another worker was just using up; nothing is known about their jobs.
    """

    claim_id: int | None
    jobs: list[ClaimedJob]
    busy: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Why an attempt failed, bounded by completion. `fingerprint` is the same for the same error at the same place."""

    error_class: str
    message: str
    traceback: str = ""
    fingerprint: str = ""


@dataclass(slots=True)
class Transition:
    """How an attempt ends. `target`: the job's next state. `delay`: seconds until due, for scheduled and retryable.

    `refund`: the attempt does not count. `outcome`: the word in the attempt's history. `result`: JSON text.
    `settled`: what the database said, where the handler's own transaction has written this end already.
    """

    job: ClaimedJob
    target: State
    _: KW_ONLY
    outcome: str = ""
    result: str | None = None
    delay: float = 0.0
    refund: bool = False
    reason: str = ""
    error: Error | None = None
    settled: Recorded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the database accepted of a batch of transitions, and what the fence refused."""

    recorded: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    released: int = 0


def merge(parts: Iterable[Recorded]) -> Recorded:
    """Several answers as one."""
    told = list(parts)
    return Recorded(
        recorded=[job for part in told for job in part.recorded],
        lost=[job for part in told for job in part.lost],
        released=sum(part.released for part in told),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A job that an operator's or the scheduler's move changed. `rank`: where a promotion has put it in its queue."""

    id: int
    kind: str
    queue: str
    workflow_id: int | None
    before: Any = None
    rank: int = 0
