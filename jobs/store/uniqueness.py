"""Submission of jobs with unique keys: one job a key, whoever else submits it at the same moment.

First the keys are taken or locked, in one order; then whoever holds them is looked at; only then are jobs inserted, or
brought back. All in the caller's transaction: rolled back, the keys are free again. Jobs without a key come here only
beside ones with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.errors import DuplicateJob
from jobs.events import EventKind, job_event
from jobs.states import FINISHED, State
from jobs.store.moving import hold
from jobs.store.statements import Cursor, execute, rows
from jobs.store.submitting import insert_jobs
from jobs.store.values import NewJob
from jobs.unique import Existing, Unique
from notifications.log import EventDraft, append

__all__ = ["Placed", "delete_free_keys", "insert_unique", "release", "settle_keys", "take_again"]

Name = tuple[str, str]
"""Key, kind: the order in which they are locked."""
_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What became of one spec. `existing`: it was a duplicate, and `id` and `state` are the other job's."""

    id: int
    state: State
    existing: Existing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A key as it was locked, with what it records of a job that was deleted."""

    scope: str
    open: bool
    job_id: int
    state: str
    result: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """The job that holds a key. `where`: kind, queue and workflow; None for one that was deleted."""

    id: int
    state: State
    result: str | None = None
    finished_at: datetime | None = None
    where: tuple[str, str, int | None] | None = None


def insert_unique(
    cursor: Cursor,
    jobs: Sequence[NewJob],
    *,
    user_id: int | None = None,
    name_items: bool = True,
    now: datetime | None = None,
) -> list[Placed]:
    """Insert those of the jobs whose keys are free; what became of each, in the order given. Raises DuplicateJob."""
    holders = _holders(cursor, sorted({name for job in jobs if (name := _name(job))}), now)
    fresh = _fresh(jobs, holders, name_items=name_items)
    placed = _insert(cursor, [jobs[place] for place in fresh], user_id=user_id, now=now)
    new = dict(zip(fresh, placed, strict=True))
    for place, holder in new.items():
        if name := _name(jobs[place]):
            holders[name] = holder
    duplicates = [
        (job, holders[name]) for place, job in enumerate(jobs) if place not in new and (name := _name(job))
    ]
    replaced = _replace(cursor, duplicates)
    append(cursor, [draft for job, holder in duplicates for draft in _told(job, holder, replaced)])
    answers = iter([_duplicate(job, holder, replaced) for job, holder in duplicates])
    return [
        Placed(id=new[place].id, state=new[place].state) if place in new else next(answers)
        for place in range(len(jobs))
    ]


def take_again(cursor: Cursor, ids: Sequence[int]) -> dict[int, str]:
    """Jobs that ended come back to where they are unfinished: those with such a key take it again, the newest first.

    Returns the jobs that must stay as they are, and why: somebody else has their key. Locks keys, so comes before jobs.
    """
    mine: dict[int, Name] = {
        job: (key, kind) for job, kind, key in rows(cursor, "keys_of_unfinished", {"ids": list(ids)})
    }
    if not mine:
        return {}
    holders = {name: holder.id for name, holder in _holders(cursor, sorted(set(mine.values())), None).items()}
    for job, name in mine.items():
        holders.setdefault(name, job)
    back = [(job, name) for job, name in mine.items() if holders[name] == job]
    _bind(cursor, [(kind, Unique(key), job) for job, (key, kind) in back], now=None)
    return {
        job: f'its unique key "{name[0]}" belongs to job {holders[name]} by now'
        for job, name in mine.items()
        if holders[name] != job
    }


def settle_keys(cursor: Cursor, ids: Sequence[int]) -> None:
    """Before these jobs, which have ended, are deleted: keys that still count keep how they ended, the others go."""
    execute(cursor, "settle_keys", {"ids": list(ids)})


def delete_free_keys(cursor: Cursor, *, limit: int) -> int:
    """Keys whose window is over; the number deleted."""
    return execute(cursor, "delete_free_keys", {"limit": limit})


def release(cursor: Cursor, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Free the keys of these jobs; what each held: key, kind and scope."""
    freed = rows(cursor, "release_keys", {"ids": list(ids)})
    return {job_id: {"unique_key": key, "kind": kind, "scope": scope} for job_id, kind, key, scope in freed}


def _name(job: NewJob) -> Name | None:
    return None if job.unique is None else (job.unique.key, job.kind)


# -- who holds the keys ------------------------------------------------------------------------------------------------


def _holders(cursor: Cursor, names: Sequence[Name], now: datetime | None) -> dict[Name, _Holder]:
    """The jobs that hold the keys. The names that are missing in the answer are ours: their rows are locked or new."""
    taken = _lock(cursor, names, now)
    found = _jobs(cursor, [key.job_id for key in taken.values()])
    return {name: holder for name, key in taken.items() if (holder := _holder(key, found.get(key.job_id)))}


def _lock(cursor: Cursor, names: Sequence[Name], now: datetime | None) -> dict[Name, _Key]:
    """Take the keys that are free and lock the others. One that was deleted between the two is free: look again."""
    taken: dict[Name, _Key] = {}
    missing = list(names)
    for _ in range(_LOOKS):
        if not missing:
            return taken
        asked = {"kinds": [kind for _, kind in missing], "keys": [key for key, _ in missing]}
        ours = {(key, kind) for kind, key in rows(cursor, "claim_uniquekeys", asked)}
        for kind, key, scope, open_, job_id, state, result, at in rows(
            cursor, "lock_uniquekeys", {**asked, "now": now}
        ):
            if (key, kind) not in ours:
                taken[key, kind] = _Key(
                    scope=scope, open=bool(open_), job_id=job_id, state=state, result=result, finished_at=at
                )
        missing = [name for name in missing if name not in ours and name not in taken]
    raise AssertionError(f"unique keys vanish as fast as they are looked for: {missing[:3]}")


def _jobs(cursor: Cursor, ids: Sequence[int]) -> dict[int, _Holder]:
    if not ids:
        return {}
    return {
        row[0]: _Holder(
            id=row[0],
            state=State(row[1]),
            where=(row[2], row[3], row[4]),
            result=row[5],
            finished_at=row[6],
        )
        for row in rows(cursor, "unique_holders", {"ids": list(ids)})
    }


def _holder(key: _Key, job: _Holder | None) -> _Holder | None:
    """Who holds the key, by the rules of the one who took it; None: nobody, it can be taken over."""
    if key.scope == "unfinished":
        return job if job is not None and job.state not in FINISHED else None
    if key.scope == "window" and not key.open:
        return None
    if job is None and key.state:
        return _Holder(id=key.job_id, state=State(key.state), result=key.result, finished_at=key.finished_at)
    return job


# -- what becomes of each ----------------------------------------------------------------------------------------------


def _fresh(jobs: Sequence[NewJob], holders: Mapping[Name, _Holder], *, name_items: bool) -> list[int]:
    """The places of those to insert: the first of each free key, and all without one."""
    first: dict[Name, int] = {}
    fresh = []
    for place, job in enumerate(jobs):
        name = _name(job)
        if name is None or (name not in holders and name not in first):
            fresh.append(place)
            if name is not None:
                first[name] = place
        elif job.unique is not None and job.unique.policy == "refuse":
            field = f"jobs[{place}].unique_key" if name_items else "unique_key"
            raise _refusal(field, job.unique, holders.get(name), first.get(name))
    return fresh


def _refusal(field: str, unique: Unique, holder: _Holder | None, first: int | None) -> DuplicateJob:
    if holder is None:
        return DuplicateJob(field, f'"{unique.key}" is the key of jobs[{first}] already', job_id=None)
    return DuplicateJob(
        field, f'"{unique.key}" belongs to job {holder.id}, which is {holder.state}', job_id=holder.id
    )


def _insert(
    cursor: Cursor, jobs: Sequence[NewJob], *, user_id: int | None, now: datetime | None
) -> list[_Holder]:
    """Insert the jobs and give them their keys."""
    if not jobs:
        return []
    placed = insert_jobs(cursor, jobs, user_id=user_id, now=now)
    keyed = [
        (job.kind, job.unique, job_id) for job, (job_id, _) in zip(jobs, placed, strict=True) if job.unique
    ]
    _bind(cursor, keyed, now=now)
    return [
        _Holder(id=job_id, state=state, where=(job.kind, job.queue, None))
        for job, (job_id, state) in zip(jobs, placed, strict=True)
    ]


def _bind(cursor: Cursor, keyed: Sequence[tuple[str, Unique, int]], *, now: datetime | None) -> None:
    """Kind, key and job: the keys, whose rows are locked, are these jobs' from now on."""
    bound = {
        "kinds": [kind for kind, _, _ in keyed],
        "keys": [unique.key for _, unique, _ in keyed],
        "jobs": [job_id for _, _, job_id in keyed],
        "scopes": [unique.scope for _, unique, _ in keyed],
        "seconds": [unique.seconds for _, unique, _ in keyed],
        "now": now,
    }
    execute(cursor, "bind_uniquekeys", bound)


def _replace(cursor: Cursor, duplicates: Sequence[tuple[NewJob, _Holder]]) -> set[int]:
    """Give jobs that wait the payload of the last duplicate that wants it; the ids of those that have it."""
    wanted = {
        holder.id: job.payload
        for job, holder in duplicates
        if job.unique is not None and job.unique.policy == "replace" and holder.state not in FINISHED
    }
    held = hold(cursor, sorted(wanted)) if wanted else []
    if not held:
        return set()
    params = {"ids": held, "payloads": [wanted[job_id] for job_id in held]}
    return {row[0] for row in rows(cursor, "replace_payloads", params)}


def _replaced(job: NewJob, holder: _Holder, replaced: Collection[int]) -> bool:
    return job.unique is not None and job.unique.policy == "replace" and holder.id in replaced


def _told(job: NewJob, holder: _Holder, replaced: Collection[int]) -> Iterator[EventDraft]:
    """The event for those who watch the job. One that was deleted is watched by nobody."""
    if holder.where is None or job.unique is None:
        return
    kind, queue, workflow_id = holder.where
    yield job_event(
        EventKind.JOB_DEDUPLICATED,
        job_id=holder.id,
        kind=kind,
        queue=queue,
        workflow_id=workflow_id,
        state=holder.state.value,
        key=job.unique.key,
        replaced=_replaced(job, holder, replaced),
    )


def _duplicate(job: NewJob, holder: _Holder, replaced: Collection[int]) -> Placed:
    existing = Existing(
        result=None if holder.result is None else json.loads(holder.result),
        finished_at=holder.finished_at,
        replaced=_replaced(job, holder, replaced),
    )
    return Placed(id=holder.id, state=holder.state, existing=existing)
