"""Limits: how many jobs of a queue or a key run at once and how often they start, over all workers.

Promise: never one more, with any number of workers, however they end. The queue's row in `jobs_bucket` is the lock;
under it, with a younger snapshot, places and tokens are counted and used up in the statement that claims. A place goes
with the end of its attempt, in the transaction that the fence accepted. What is left over by accident counts too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.store.statements import Cursor, execute, rows
from notifications.arrays import numbers

__all__ = ["Limits", "change_limits", "claim_limited", "in_places", "make_queue", "release", "tidy"]


_BY_RANK = {"sorted": "{}", "places": "{}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A queue's limits; None is none. Rates: starts in so many seconds, at most `burst` at once."""

    max_running: int | None = None
    rate: int | None = None
    rate_seconds: float = 1.0
    rate_burst: int | None = None
    key_max_running: int | None = None
    key_rate: int | None = None
    key_rate_seconds: float = 1.0
    key_rate_burst: int | None = None

    @property
    def any(self) -> bool:
        return self.max_running is not None or self.rate is not None or self.keyed

    @property
    def keyed(self) -> bool:
        """Does it limit keys?"""
        return self.key_max_running is not None or self.key_rate is not None


def in_places(candidates: Sequence[int]) -> dict[str, str]:
    """Parameters of a claim that goes by the order given; for no candidates: by rank.

    Which place an id has is found by a binary search, since a claim of many looks for many.
    """
    if not candidates:
        return _BY_RANK
    places = sorted(range(1, len(candidates) + 1), key=lambda place: candidates[place - 1])
    return {"sorted": numbers(sorted(candidates)), "places": numbers(places)}


def claim_limited(
    cursor: Cursor,
    *,
    worker_id: int,
    candidates: Sequence[int],
    queues: Sequence[str],
    limit: int,
    in_order: bool = False,
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Take what the limits of these queues allow of the candidates, best rank first or `in_order`.

    Returns rows like `claim.sql`'s, and the queues that another worker was just claiming from.
    """
    held = [row[0] for row in rows(cursor, "lock_limits", {"queues": sorted(queues)})]
    busy = [queue for queue in queues if queue not in held]
    if not held:
        return [], busy
    params: dict[str, Any] = {"ids": list(candidates), "queues": held, "worker": worker_id, "limit": limit}
    return rows(cursor, "claim_limited", params | in_places(candidates if in_order else ())), busy


def release(cursor: Cursor, jobs: Sequence[int]) -> int:
    """The attempts of these jobs have ended: the number of places that became free."""
    return len(rows(cursor, "release_permits", {"ids": list(jobs)})) if jobs else 0


def tidy(cursor: Cursor) -> int:
    """Sweep away what holds a place and does not run, and put right what stands in a wrong lane; how many."""
    found: int = rows(cursor, "tidy_limits", {})[0][0]
    return found


def make_queue(cursor: Cursor, queue: str) -> bool:
    """A queue with the defaults of one that its first job makes; False where there is one."""
    return execute(cursor, "make_queue", {"queue": queue}) == 1


def change_limits(cursor: Cursor, queue: str, *, before: Limits, after: Limits) -> None:
    """Make the tables fit new limits, in the transaction that changes the queue's row. Call it first.

    While nobody can claim: otherwise a claim that began without the limits could end after its jobs were counted.
    Short as claims are, unless the queue begins or ceases to limit keys while very many of its jobs wait.
    """
    if not before.any and not after.any:
        return
    held = {"queue": queue, "burst": float(after.rate_burst or after.rate or 0)}
    old = {"rate": before.rate, "seconds": before.rate_seconds, "most": before.rate_burst}
    execute(cursor, "hold_limits", held | old)
    if before.keyed != after.keyed:
        execute(cursor, "lane_queue_anew", {"queue": queue, "keyed": after.keyed})
    if not after.any:
        execute(cursor, "forget_limits", {"queue": queue})
    elif not before.any:
        execute(cursor, "stop_claims", {})
        execute(cursor, "take_inventory", {"queue": queue})
