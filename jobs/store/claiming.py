"""Claims: ready jobs become running ones, fenced by worker and attempt, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from jobs.events import EventKind, encode_jobs
from jobs.states import State
from jobs.store.limiting import claim_limited, in_places
from jobs.store.statements import Cursor, execute, rows
from jobs.store.values import Claimed, ClaimedJob
from notifications.arrays import numbers
from notifications.log import append_encoded

__all__ = ["claim", "claim_ready", "drop_claims"]

_told = itemgetter(0, 1, 2, 7, 3)  # id, kind, queue, workflow id, attempt of a row


def claim(
    cursor: Cursor,
    *,
    worker_id: int,
    candidates: Sequence[int],
    limit: int,
    limited: Mapping[int, str] | None = None,
    in_order: bool = False,
) -> Claimed:
    """Take up to `limit` of the candidates for this worker, best rank first; `in_order`: in the order given.

    limited: those among them that wait in queues with limits, with the queue. They come first, as many as stand within
    the limit; what they leave over goes to the others.
    """
    if limited:
        found, busy = _claim_both(cursor, worker_id, candidates, limit, limited, in_order=in_order)
    else:
        found, busy = _claim(cursor, worker_id, candidates, limit, in_order=in_order), []
    if not found:
        return Claimed(claim_id=None, jobs=[], busy=busy)
    # The rows come in the order of the primary key.
    row_of = {row[0]: row for row in found}
    found = [row_of[job_id] for job_id in candidates if job_id in row_of]
    topics, items = encode_jobs(EventKind.JOB_STARTED, State.RUNNING.value, list(map(_told, found)))
    append_encoded(cursor, topics=topics, items=items)
    jobs = [ClaimedJob(*(*row, worker_id)) for row in found]
    for job in jobs if limited else ():
        job.limited = limited is not None and job.id in limited
    return Claimed(claim_id=found[0][9], jobs=jobs, busy=busy)


def claim_ready(
    cursor: Cursor, *, worker_id: int, names: Sequence[str], kinds: Sequence[str], limit: int
) -> Claimed | None:
    """Take everything that is ready in these queues (none named: all) without limits, in one statement with its events.

    None when that is more than `limit`: then nothing was taken, and somebody has to look at the order first.
    """
    params = {"worker": worker_id, "names": list(names), "kinds": list(kinds), "limit": limit}
    found = rows(cursor, "claim_ready", params)
    if not found:
        return Claimed(claim_id=None, jobs=[])
    if found[0][0] is None:
        return None
    return Claimed(claim_id=found[0][9], jobs=[ClaimedJob(*(*row[:10], worker_id)) for row in found])


def _claim(
    cursor: Cursor, worker_id: int, candidates: Sequence[int], limit: int, *, in_order: bool
) -> list[tuple[Any, ...]]:
    params = {"ids": numbers(candidates), "worker": worker_id, "limit": limit}
    # Where all may be taken, the order says nothing.
    return rows(
        cursor, "claim", params | in_places(candidates if in_order and len(candidates) > limit else ())
    )


def _claim_both(
    cursor: Cursor,
    worker_id: int,
    candidates: Sequence[int],
    limit: int,
    limited: Mapping[int, str],
    *,
    in_order: bool,
) -> tuple[list[tuple[Any, ...]], list[str]]:
    asked = [job for job in candidates[:limit] if job in limited]
    first, busy = claim_limited(
        cursor,
        worker_id=worker_id,
        candidates=[job for job in candidates if job in limited],
        queues=sorted({limited[job] for job in candidates if job in limited}),
        limit=len(asked),
        in_order=in_order,
    )
    plain = [job for job in candidates if job not in limited]
    left = limit - len(first)
    second = _claim(cursor, worker_id, plain, left, in_order=in_order) if plain and left else []
    return [*first, *second], busy


def drop_claims(cursor: Cursor, claim_ids: Sequence[int]) -> None:
    """Forget batches of which every job has ended."""
    if claim_ids:
        execute(cursor, "delete_claims", {"ids": list(claim_ids)})
