"""The events of the jobs app: one enum, and how a change of a job is told (docs/events.md has the same list).

`jobs/store` appends them in the transaction of the change. The payload is small on purpose: what changed and where to
look; the rest is read from the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any

from notifications.items import series_head, series_text, series_topics
from notifications.log import EventDraft

__all__ = ["OPS", "EventKind", "encode_jobs", "job_event", "job_topics", "ops_event", "workflow_event"]

OPS = "ops"


class EventKind(StrEnum):
    JOB_SUBMITTED = "job.submitted"
    JOB_DEDUPLICATED = "job.deduplicated"
    JOB_AVAILABLE = "job.available"
    JOB_STARTED = "job.started"
    JOB_PROGRESS = "job.progress"
    JOB_LOG = "job.log"
    JOB_EFFECT = "job.effect"
    JOB_COMPLETED = "job.completed"
    JOB_RETRYABLE = "job.retryable"
    JOB_SNOOZED = "job.snoozed"
    JOB_GIVEN_BACK = "job.given_back"
    JOB_RESCUED = "job.rescued"
    JOB_DEAD = "job.dead"
    JOB_REPLAYED = "job.replayed"
    JOB_CANCELLED = "job.cancelled"
    JOB_CANCEL_REQUESTED = "job.cancel_requested"
    JOB_DISCARDED = "job.discarded"
    JOB_SKIPPED = "job.skipped"
    JOB_UNDONE = "job.undone"
    JOB_PRIORITY = "job.priority"
    JOB_MOVED = "job.moved"
    JOB_RESCHEDULED = "job.rescheduled"
    WORKFLOW_STATE = "workflow.state"
    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"
    QUEUE_CHANGED = "queue.changed"
    KIND_PAUSED = "kind.paused"
    KIND_RESUMED = "kind.resumed"
    SCHEDULE_FILLED = "schedule.filled"
    SCHEDULE_MISSED = "schedule.missed"
    SCHEDULE_CHANGED = "schedule.changed"
    WORKER_STARTED = "worker.started"
    WORKER_STOPPED = "worker.stopped"
    WORKER_LOST = "worker.lost"
    DEADLETTERS_RUN = "deadletters.run"
    DEADLETTERS_GROUP = "deadletters.group"
    OPERATOR_ACTION = "operator.action"


_FOR_OPS = (EventKind.JOB_DEAD, EventKind.JOB_REPLAYED, EventKind.JOB_DISCARDED, EventKind.JOB_UNDONE)


def job_topics(job_id: int, queue: str, workflow_id: int | None) -> tuple[str, ...]:
    if workflow_id is None:
        return (f"job:{job_id}", f"queue:{queue}")
    return (f"job:{job_id}", f"queue:{queue}", f"workflow:{workflow_id}")


def job_event(
    event: EventKind, *, job_id: int, kind: str, queue: str, workflow_id: int | None, state: str, **extra: Any
) -> EventDraft:
    """One change of one job. Dead letters are told to `ops` too, since people wait for them."""
    topics = job_topics(job_id, queue, workflow_id)
    if event in _FOR_OPS:
        topics = (*topics, OPS)
    payload = {"job": job_id, "kind": kind, "queue": queue, "workflow": workflow_id, "state": state, **extra}
    return EventDraft(kind=event.value, topics=topics, payload=payload)


def ops_event(event: EventKind, **payload: Any) -> EventDraft:
    """Something operators see: a queue, a worker, a schedule, an action."""
    topics: tuple[str, ...] = (OPS,)
    if "queue" in payload:
        topics = (OPS, f"queue:{payload['queue']}")
    return EventDraft(kind=event.value, topics=topics, payload=payload)


def workflow_event(workflow_id: int, **payload: Any) -> EventDraft:
    return EventDraft(
        kind=EventKind.WORKFLOW_STATE.value,
        topics=(f"workflow:{workflow_id}", OPS),
        payload={"workflow": workflow_id, **payload},
    )


Told = tuple[int, str, str, int | None, int]  # job id, kind, queue, workflow id, attempt


@lru_cache(maxsize=2048)
def _series(
    event: str, state: str, kind: str, queue: str, workflow_id: int | None, attempt: int
) -> tuple[list[str], str]:
    """What like changes of jobs have in common: topics, and the head of their series."""
    topics = [f"queue:{queue}"] if workflow_id is None else [f"queue:{queue}", f"workflow:{workflow_id}"]
    payload = {"kind": kind, "queue": queue, "workflow": workflow_id, "state": state, "attempt": attempt}
    return topics, series_head(event, topics, payload, "job")


_id_of, _like_of = itemgetter(0), itemgetter(1, 2, 3, 4)


def encode_jobs(event: EventKind, state: str, jobs: Sequence[Told]) -> tuple[list[str], str]:
    """The hot path: a batch of like changes as (topics, JSON items), as `notifications.log.append_encoded` takes it.

    Like jobs stand together; among the jobs of one batch there is no causal order.
    """
    likes = list(map(_like_of, jobs))
    alike: dict[tuple[str, str, int | None, int], list[int]] = {like: [] for like in likes}
    if len(alike) == 1:  # as most batches are
        alike[likes[0]] = list(map(_id_of, jobs))
    else:
        for like, job in zip(likes, jobs, strict=True):
            alike[like].append(job[0])
    topics: dict[str, None] = {}
    items: list[str] = []
    for like, ids in alike.items():
        common, head = _series(event.value, state, *like)
        topics.update(dict.fromkeys((*common, *series_topics("job", ids))))
        items.append(series_text(head, ids))
    return list(topics), f"[{','.join(items)}]"


def job_frame(event: EventKind, state: str, kind: str, queue: str) -> tuple[str, str]:
    """The items of one event about a job that has no id yet, in two parts: the id goes between them."""
    _, head = _series(event.value, state, kind, queue, None, 0)
    return f"[{head}[", "]]]"


def chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
