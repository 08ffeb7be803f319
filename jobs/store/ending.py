"""The ends of attempts: every write of a worker about a job it holds, behind the fence, with its event.

One call records a batch in the caller's transaction. What the fence refuses comes back as `lost` and changes nothing:
neither the job, nor its children, nor the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from jobs.events import EventKind, encode_jobs, job_event
from jobs.states import State
from jobs.store.limiting import release
from jobs.store.statements import Cursor, execute, rows
from jobs.store.values import Recorded, Transition
from jobs.store.workflows import Change, move_counts, release_children, skip_descendants
from notifications.arrays import numbers, texts
from notifications.log import EventDraft, append, append_encoded

__all__ = ["end_attempts"]

# As functions of the interpreter's own: a batch has hundreds.
_job, _job_id = attrgetter("job"), attrgetter("job.id")
_told = attrgetter("id", "kind", "queue", "workflow_id", "attempt")
_EVENT = {
    State.RETRYABLE: EventKind.JOB_RETRYABLE,
    State.SCHEDULED: EventKind.JOB_SNOOZED,
    State.AVAILABLE: EventKind.JOB_GIVEN_BACK,
    State.DEAD: EventKind.JOB_DEAD,
    State.DISCARDED: EventKind.JOB_DISCARDED,
    State.CANCELLED: EventKind.JOB_CANCELLED,
}


def end_attempts(cursor: Cursor, worker_id: int, transitions: Sequence[Transition]) -> Recorded:
    """Record how attempts ended. Ids are locked in ascending order within each kind of end."""
    ordered = sorted(transitions, key=_job_id)
    completed = [t for t in ordered if t.target is State.COMPLETED]
    others = [t for t in ordered if t.target is not State.COMPLETED] if len(completed) < len(ordered) else []
    recorded: list[int] = []
    # Of jobs without a workflow, which are most, nothing is counted.
    changes: list[Change] = []
    released = 0
    if completed:
        done = _complete(cursor, worker_id, completed)
        recorded += [t.job.id for t in done]
        parents = [t.job.id for t in done if t.job.workflow_id is not None]
        if parents:
            changes += [(t.job.workflow_id, State.RUNNING, State.COMPLETED) for t in done]
            released, freed = release_children(cursor, parents)
            changes += freed
    if others:
        ended = _end_others(cursor, worker_id, others)
        recorded += [t.job.id for t in ended]
        changes += [(t.job.workflow_id, State.RUNNING, t.target) for t in ended]
        closed = [
            t.job.id for t in ended if t.target in (State.CANCELLED, State.DISCARDED) and t.job.workflow_id
        ]
        changes += skip_descendants(cursor, closed) if closed else []
        released += sum(1 for t in ended if t.target is State.AVAILABLE)
    move_counts(cursor, changes)
    lost: list[int] = []
    if len(recorded) < len(transitions):
        kept = set(recorded)
        lost = [t.job.id for t in transitions if t.job.id not in kept]
    places = [t.job.id for t in transitions if t.job.limited and t.job.id not in lost]
    released += release(cursor, places)
    return Recorded(recorded=recorded, lost=lost, released=released)


def _complete(cursor: Cursor, worker_id: int, transitions: Sequence[Transition]) -> Sequence[Transition]:
    results = [t.result for t in transitions]
    params = {
        "ids": numbers([t.job.id for t in transitions]),
        "attempts": numbers([t.job.attempt for t in transitions]),
        "results": texts(results) if any(results) else None,
        "worker": worker_id,
    }
    ((some,),) = rows(cursor, "complete", params)
    accepted = None if some is None else set(some)
    done = transitions if accepted is None else [t for t in transitions if t.job.id in accepted]
    if done:
        told = map(_told, map(_job, done))
        topics, items = encode_jobs(EventKind.JOB_COMPLETED, State.COMPLETED.value, list(told))
        append_encoded(cursor, topics=topics, items=items)
    return done


def _end_others(cursor: Cursor, worker_id: int, transitions: Sequence[Transition]) -> list[Transition]:
    params = {
        "ids": [t.job.id for t in transitions],
        "attempts": [t.job.attempt for t in transitions],
        "states": [t.target.value for t in transitions],
        "refunds": [t.refund for t in transitions],
        "worker": worker_id,
    }
    started = {row[0]: row[4] for row in rows(cursor, "end_attempt", params)}
    ended = [t for t in transitions if t.job.id in started]
    if not ended:
        return []
    _keep_history(cursor, worker_id, ended, started)
    _place(cursor, ended)
    cancelled = [t.job.id for t in ended if t.target is State.CANCELLED]
    if cancelled:
        execute(cursor, "clear_cancel_requests", {"ids": cancelled})
    append(cursor, [_event(t) for t in ended])
    return ended


def _keep_history(
    cursor: Cursor, worker_id: int, ended: Sequence[Transition], started: dict[int, object]
) -> None:
    told = [t for t in ended if t.outcome]
    if not told:
        return
    params = {
        "jobs": [t.job.id for t in told],
        "numbers": [t.job.attempt for t in told],
        "workers": [worker_id for _ in told],
        "starts": [started[t.job.id] for t in told],
        "outcomes": [t.outcome for t in told],
        "error_classes": [t.error.error_class if t.error else "" for t in told],
        "messages": [t.error.message if t.error else t.reason for t in told],
        "tracebacks": [t.error.traceback if t.error else "" for t in told],
    }
    execute(cursor, "insert_attempts", params)


def _place(cursor: Cursor, ended: Sequence[Transition]) -> None:
    """The narrow row that belongs to the state each job has now."""
    later = [t for t in ended if t.target in (State.RETRYABLE, State.SCHEDULED)]
    if later:
        params = {
            "jobs": [t.job.id for t in later],
            "delays": [t.delay for t in later],
            "states": [t.target.value for t in later],
        }
        execute(cursor, "insert_scheduled", params)
    back = [t.job.id for t in ended if t.target is State.AVAILABLE]
    if back:
        execute(cursor, "insert_ready", {"ids": back})
    dead = [(t.job.id, t.error) for t in ended if t.target is State.DEAD and t.error is not None]
    if dead:
        params = {
            "jobs": [job for job, _ in dead],
            "error_classes": [error.error_class for _, error in dead],
            "messages": [error.message for _, error in dead],
            "tracebacks": [error.traceback for _, error in dead],
            "fingerprints": [error.fingerprint for _, error in dead],
        }
        execute(cursor, "insert_deadletters", params)
    closed = [t for t in ended if t.target in (State.CANCELLED, State.DISCARDED)]
    if closed:
        params = {
            "jobs": [t.job.id for t in closed],
            "states": [t.target.value for t in closed],
            "reasons": [t.reason for t in closed],
        }
        execute(cursor, "insert_closed", params)


def _event(t: Transition) -> EventDraft:
    extra: dict[str, object] = {"attempt": t.job.attempt}
    if t.error is not None:
        extra["error"] = f"{t.error.error_class}: {t.error.message}"[:300]
    elif t.reason:
        extra["reason"] = t.reason[:300]
    if t.target in (State.RETRYABLE, State.SCHEDULED):
        extra["delay"] = round(t.delay, 3)
    return job_event(
        _EVENT[t.target],
        job_id=t.job.id,
        kind=t.job.kind,
        queue=t.job.queue,
        workflow_id=t.job.workflow_id,
        state=t.target.value,
        **extra,
    )
