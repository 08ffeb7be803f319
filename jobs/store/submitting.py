"""New rows: jobs, workflows, edges, with their events, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from jobs.events import EventKind, chunks, encode_jobs, job_frame
from jobs.states import State
from jobs.store.statements import Cursor, Send, execute, rows, statement
from jobs.store.timing import watch
from jobs.store.values import Alike, NewJob
from notifications.arrays import numbers, texts
from notifications.log import append_encoded

__all__ = ["insert_alike", "insert_job", "insert_jobs", "insert_workflow"]

EVENTS_PER_ROW = 500
_STATE = {state.value: state for state in State}


def insert_job(cursor: Cursor, job: NewJob, *, user_id: int | None = None) -> int | None:
    """Insert one job that may start at once; its id. None, and nothing written, where its queue does not exist yet.

    One statement, so it needs no transaction of its own.
    """
    before, after = job_frame(EventKind.JOB_SUBMITTED, State.AVAILABLE.value, job.kind, job.queue)
    params = {
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "payload": job.payload,
        "options": job.options,
        "user": user_id,
        "before": before,
        "after": after,
    }
    found = rows(cursor, "insert_job", params)
    return int(found[0][0]) if found else None


def insert_alike(send: Send, alike: Alike, *, user_id: int | None = None) -> Iterator[int]:
    """Insert the jobs and tell of them, a part a statement; their ids, in the order given. Their queue exists."""
    job = alike.job
    before, after = job_frame(EventKind.JOB_SUBMITTED, State.AVAILABLE.value, job.kind, job.queue)
    params = {
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "options": job.options,
        "user": user_id,
        "before": before,
        "after": after,
    }
    text = statement("insert_alike")
    answers = [(count, send(text, params | {"payloads": payloads})) for count, payloads in alike.parts]
    for count, answer in answers:
        ((placed, _),) = answer()
        if len(placed or ()) != count:
            raise AssertionError(f"{count} jobs were to be inserted, not {placed}")
        yield from placed


def insert_jobs(
    cursor: Cursor,
    jobs: Sequence[NewJob],
    *,
    user_id: int | None = None,
    workflow_id: int | None = None,
    now: datetime | None = None,
) -> list[tuple[int, State]]:
    """Insert the jobs; id and first state of each, in the order given."""
    params = {
        "kinds": texts([job.kind for job in jobs]),
        "queues": texts([job.queue for job in jobs]),
        "priorities": numbers([job.priority for job in jobs]),
        "max_attempts": numbers([job.max_attempts for job in jobs]),
        "payloads": texts([job.payload for job in jobs]),
        "options": texts([job.options for job in jobs]),
        "ats": texts([None if job.scheduled_at is None else job.scheduled_at.isoformat() for job in jobs]),
        "tasks": texts([job.task for job in jobs]),
        "pendings": numbers([job.pending for job in jobs]),
        "workflow": workflow_id,
        "user": user_id,
        "now": now,
    }
    placed = [(row[0], _STATE[row[1]]) for row in rows(cursor, "insert_jobs", params)]
    if any(job.timed for job in jobs):
        watch(cursor, [job_id for job, (job_id, _) in zip(jobs, placed, strict=True) if job.timed])
    _tell(cursor, jobs, placed, workflow_id)
    return placed


def _tell(
    cursor: Cursor, jobs: Sequence[NewJob], placed: Sequence[tuple[int, State]], workflow_id: int | None
) -> None:
    for state in sorted({state for _, state in placed}):
        told = [
            (job_id, job.kind, job.queue, workflow_id, 0)
            for job, (job_id, its) in zip(jobs, placed, strict=True)
            if its is state
        ]
        for part in chunks(told, EVENTS_PER_ROW):
            topics, items = encode_jobs(EventKind.JOB_SUBMITTED, state.value, part)
            append_encoded(cursor, topics=topics, items=items)


def insert_workflow(
    cursor: Cursor,
    name: str,
    jobs: Sequence[NewJob],
    edges: Sequence[tuple[int, int]],
    *,
    user_id: int | None = None,
    now: datetime | None = None,
) -> tuple[int, list[tuple[int, State]]]:
    """Insert a workflow. `edges`: (parent, child) as indexes into `jobs`. Returns its id and the placed jobs."""
    blocked = sum(1 for job in jobs if job.pending)
    counts = {
        "name": name,
        "total": len(jobs),
        "active": len(jobs) - blocked,
        "blocked": blocked,
        "user": user_id,
    }
    workflow_id: int = rows(cursor, "insert_workflow", counts)[0][0]
    placed = insert_jobs(cursor, jobs, user_id=user_id, workflow_id=workflow_id, now=now)
    parents = [placed[parent][0] for parent, _ in edges]
    children = [placed[child][0] for _, child in edges]
    execute(cursor, "insert_dependencies", {"parents": parents, "children": children})
    return workflow_id, placed
