"""Worker processes: register, heartbeat, stop; and the rescue of what lost ones held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jobs.events import EventKind, job_event, ops_event
from jobs.states import State
from jobs.store.limiting import release
from jobs.store.statements import Cursor, execute, rows
from jobs.store.workflows import move_counts
from notifications.log import append

__all__ = [
    "end_sessions",
    "heartbeat",
    "leave",
    "living",
    "lose",
    "lose_dead",
    "register",
    "rescue_orphans",
    "session_name",
    "stop",
]

_LOST = "WorkerLost"
_LOST_MESSAGE = "the worker that ran this attempt stopped answering"
_BATCHES = 50


def register(
    cursor: Cursor,
    *,
    name: str,
    hostname: str,
    pid: int,
    queues: Sequence[str],
    kinds: Sequence[str],
    concurrency: int,
    strict: bool = False,
) -> int:
    """A worker process begins; returns its id, which is half of the fence of everything it claims."""
    params = {
        "name": name,
        "hostname": hostname,
        "pid": pid,
        "queues": list(queues),
        "kinds": list(kinds),
        "concurrency": concurrency,
        "strict": strict,
    }
    worker_id: int = rows(cursor, "register_worker", params)[0][0]
    append(
        cursor, [ops_event(EventKind.WORKER_STARTED, worker=worker_id, name=name, hostname=hostname, pid=pid)]
    )
    return worker_id


def heartbeat(
    cursor: Cursor, worker_id: int, *, draining: bool, stats: dict[str, Any], lost_running: int = 0
) -> bool:
    """Say that the worker lives. False: it was declared lost and holds nothing any more.

    `lost_running`: handlers of jobs that belong to others by now, which still run in it and keep their places.
    """
    params = {
        "worker": worker_id,
        "state": "draining" if draining else "live",
        "stats": json.dumps(stats),
        "lost_running": lost_running,
    }
    return bool(rows(cursor, "heartbeat", params))


def stop(cursor: Cursor, worker_id: int, *, stats: dict[str, Any]) -> None:
    """A worker process ends on purpose."""
    for name, hostname, pid in rows(cursor, "stop_worker", {"worker": worker_id, "stats": json.dumps(stats)}):
        append(
            cursor,
            [ops_event(EventKind.WORKER_STOPPED, worker=worker_id, name=name, hostname=hostname, pid=pid)],
        )


def leave(cursor: Cursor, worker_id: int, *, stats: dict[str, Any]) -> None:
    """The last counters of an id that was declared lost; its heartbeats cannot tell them any more."""
    execute(cursor, "leave_worker", {"worker": worker_id, "stats": json.dumps(stats)})


def session_name(worker_id: int) -> str:
    """The `application_name` of the connection in which this worker claims and ends jobs."""
    return f"opsched worker {worker_id}"


def end_sessions(cursor: Cursor, name: str) -> int:
    """End the other sessions of this `application_name`, and with them what they have not committed.

    How many there were: ask until there is none.
    """
    return len(rows(cursor, "end_sessions", {"name": name}))


def living(cursor: Cursor) -> dict[int, int]:
    """The beat of each worker that is thought to live."""
    return dict(rows(cursor, "living_workers", {}))


def lose(cursor: Cursor, *, worker_id: int, beat: int, lease: float) -> bool:
    """Declare a worker lost if its beat still stands where it was watched. True where that was done."""
    return _lose(cursor, worker_id, {"beat": beat, "lease": lease, "pid": None, "hostname": None})


def lose_dead(cursor: Cursor, *, worker_id: int, hostname: str, pid: int) -> bool:
    """Declare a worker lost whose process has ended: its parent has reaped it. True where it had not signed off.

    False as well where the id is that of another process by now.
    """
    return _lose(cursor, worker_id, {"beat": None, "lease": None, "pid": pid, "hostname": hostname})


def _lose(cursor: Cursor, worker_id: int, how: dict[str, Any]) -> bool:
    for name, hostname, pid in rows(cursor, "lose_worker", {"worker": worker_id} | how):
        end_sessions(cursor, session_name(worker_id))
        append(
            cursor,
            [ops_event(EventKind.WORKER_LOST, worker=worker_id, name=name, hostname=hostname, pid=pid)],
        )
        return True
    return False


def rescue_orphans(cursor: Cursor, *, max_losses: int = 3) -> int:
    """Give back the jobs of every batch whose worker lives no more; the number of jobs.

    A job that has lost so many workers is a dead letter.
    """
    orphans = rows(cursor, "orphaned_claims", {"limit": _BATCHES})
    if orphans:
        ids = sorted({job for _, _, jobs in orphans for job in jobs})
        rows(cursor, "lock_held", {"ids": ids, "workers": sorted({worker for _, worker, _ in orphans})})
    rescued = sum(_rescue_batch(cursor, worker_id, ids, max_losses) for _, worker_id, ids in orphans)
    if orphans:
        execute(cursor, "delete_claims", {"ids": [row[0] for row in orphans]})
    return rescued


def _rescue_batch(cursor: Cursor, worker_id: int, ids: Sequence[int], max_losses: int) -> int:
    held = rows(cursor, "rescue", {"ids": list(ids), "worker": worker_id, "most": max_losses})
    if not held:
        return 0
    _record(cursor, worker_id, held)
    release(cursor, [row[0] for row in held])
    back = [row[0] for row in held if row[4] == State.AVAILABLE]
    if back:
        execute(cursor, "insert_ready", {"ids": back})
    dead = [row[0] for row in held if row[4] == State.DEAD]
    if dead:
        params = {
            "jobs": dead,
            "error_classes": [_LOST for _ in dead],
            "messages": [_dead_message(row[8]) for row in held if row[4] == State.DEAD],
            "tracebacks": ["" for _ in dead],
            "fingerprints": ["worker_lost" for _ in dead],
        }
        execute(cursor, "insert_deadletters", params)
    append(cursor, [_event(row, worker_id) for row in held])
    move_counts(cursor, [(row[3], State.RUNNING, State(row[4])) for row in held])
    return len(held)


def _record(cursor: Cursor, worker_id: int, held: Sequence[tuple[Any, ...]]) -> None:
    params = {
        "jobs": [row[0] for row in held],
        "numbers": [row[5] for row in held],
        "workers": [worker_id for _ in held],
        "starts": [row[6] for row in held],
        "outcomes": ["lost" for _ in held],
        "error_classes": [_LOST for _ in held],
        "messages": [
            f"{_LOST_MESSAGE}; its handler had not begun" if row[7] else _LOST_MESSAGE for row in held
        ],
        "tracebacks": ["" for _ in held],
    }
    execute(cursor, "insert_attempts", params)


def _dead_message(losses: int) -> str:
    return _LOST_MESSAGE if losses == 1 else f"{_LOST_MESSAGE}; it has lost {losses} workers"


def _event(row: tuple[Any, ...], worker_id: int) -> Any:
    job_id, kind, queue, workflow_id, state, attempt, _, innocent, losses = row
    extra = {} if innocent else {"losses": losses}
    return job_event(
        EventKind.JOB_DEAD if state == State.DEAD else EventKind.JOB_RESCUED,
        job_id=job_id,
        kind=kind,
        queue=queue,
        workflow_id=workflow_id,
        state=state,
        attempt=attempt,
        worker=worker_id,
        **extra,
    )
