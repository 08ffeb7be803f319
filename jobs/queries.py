"""Reads for people and programs: lists by state, capped counts, the figures of the operations page.

No read counts a whole table or sorts one: states are looked up in the narrow tables, counts stop at a cap, lists go by
key. Nothing here writes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from jobs.models import (
    Claim,
    Closed,
    DeadLetter,
    DeadLetterGroup,
    DeadLetterTally,
    Job,
    Ready,
    Scheduled,
    UniqueKey,
    WorkerProcess,
    Workflow,
)
from jobs.models.waiting import Blocked
from jobs.states import State
from jobs.store.statements import rows
from jobs.unique import MAX_KEY

__all__ = [
    "COUNT_CAP",
    "Count",
    "counts_by_state",
    "figures",
    "groups",
    "holders_of",
    "running_ids",
    "with_state",
]

COUNT_CAP = 10_000
_HOLDERS = 1_000


_BESIDE: dict[State, Any] = {
    State.AVAILABLE: Ready,
    State.SCHEDULED: Scheduled,
    State.RETRYABLE: Scheduled,
    State.BLOCKED: Blocked,
    State.DEAD: DeadLetter,
    State.CANCELLED: Closed,
    State.DISCARDED: Closed,
    State.SKIPPED: Closed,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number that stops at a cap. `capped`: there are at least that many."""

    number: int
    capped: bool

    def __str__(self) -> str:
        return f"{self.number:,}+" if self.capped else f"{self.number:,}"


def with_state(jobs: QuerySet[Job], state: State) -> QuerySet[Job]:
    """The jobs of that state, found through the narrow table that holds it.

    Completed jobs have no such table: they are most of all jobs, so a walk down the primary key finds a page at once.
    """
    if state is State.RUNNING:
        return jobs.filter(pk__in=running_ids(), state=state)
    beside = _BESIDE.get(state)
    if beside is None:
        return jobs.filter(state=state)
    # Some of these tables hold several states, so the state is asked of both sides.
    return jobs.filter(Exists(beside.objects.filter(job=OuterRef("pk"))), state=state)


def running_ids(limit: int = COUNT_CAP) -> list[int]:
    """Ids in the claims of all workers: what runs, and what of the same batches has just ended."""
    found: list[int] = []
    for ids in Claim.objects.order_by("pk").values_list("jobs", flat=True).iterator(chunk_size=100):
        found.extend(ids)
        if len(found) >= limit:
            break
    return found[:limit]


def holders_of(key: str) -> list[int]:
    """Ids of the jobs that hold this unique key or held it last, one for each kind."""
    found = UniqueKey.objects.filter(key=key[:MAX_KEY]).values_list("job_id", flat=True)
    return list(found[:_HOLDERS])


def counts_by_state() -> dict[State, Count]:
    """How many jobs are in each state that has a narrow table; each count stops at `COUNT_CAP`."""
    waiting: dict[State, QuerySet[Any]] = {
        State.AVAILABLE: Ready.objects.all(),
        State.SCHEDULED: Scheduled.objects.filter(state=State.SCHEDULED),
        State.RETRYABLE: Scheduled.objects.filter(state=State.RETRYABLE),
        State.BLOCKED: Blocked.objects.all(),
        State.RUNNING: Job.objects.filter(pk__in=running_ids(), state=State.RUNNING),
        State.DEAD: DeadLetter.objects.all(),
        State.CANCELLED: Closed.objects.filter(state=State.CANCELLED),
        State.DISCARDED: Closed.objects.filter(state=State.DISCARDED),
        State.SKIPPED: Closed.objects.filter(state=State.SKIPPED),
    }
    return {state: _capped(found) for state, found in waiting.items()}


def _capped(found: QuerySet[Any]) -> Count:
    number = found.order_by()[: COUNT_CAP + 1].count()
    return Count(number=min(number, COUNT_CAP), capped=number > COUNT_CAP)


def figures() -> dict[str, Any]:
    """What the operations page shows, as JSON: states, queues, workers, what runs, what died. A short round of queries.

    `now` and all ages go by the database's clock. Rates are added by `jobs.live`, which sees one round after the other.
    """
    counts = counts_by_state()
    running = Counter(
        Job.objects.filter(pk__in=running_ids(), state=State.RUNNING).values_list("worker_id", "queue")
    )
    with connection.cursor() as cursor:
        now = datetime.fromtimestamp(rows(cursor, "database_clock", {})[0][0] / 1_000_000, tz=UTC)
    return {
        "now": now.isoformat(),
        "states": {
            state.value: {"count": count.number, "capped": count.capped} for state, count in counts.items()
        },
        "queues": _queues(running),
        "workers": _workers(now, running),
        "running": _running(now),
        "dead": _dead(),
        "workflows": list(
            Workflow.objects.filter(state="running")
            .order_by("-pk")
            .values("id", "name", "state", "total", "active", "blocked", "dead", "completed", "closed")[:10]
        ),
    }


def _queues(running: Counter[tuple[int | None, str]]) -> list[dict[str, Any]]:
    busy: Counter[str] = Counter()
    for (_, queue), number in running.items():
        busy[queue] += number
    with connection.cursor() as cursor:
        found = rows(cursor, "queue_figures", {"cap": COUNT_CAP})
    return [
        {
            "name": name,
            "paused": paused,
            "available": min(available, COUNT_CAP),
            "capped": available > COUNT_CAP,
            "oldest_seconds": oldest,
            "running": busy[name],
        }
        for name, paused, available, oldest in found
    ]


def _workers(now: datetime, running: Counter[tuple[int | None, str]]) -> list[dict[str, Any]]:
    busy: Counter[int | None] = Counter()
    for (worker_id, _), number in running.items():
        busy[worker_id] += number
    living = WorkerProcess.objects.filter(state__in=["live", "draining"]).order_by("pk")[:200]
    return [
        {
            "id": worker.pk,
            "name": worker.name,
            "state": worker.state,
            "queues": worker.queues,
            "concurrency": worker.concurrency,
            "running": busy[worker.pk],
            "lost_running": worker.lost_running,
            "heartbeat_at": worker.heartbeat_at.isoformat(),
            "heartbeat_seconds": _seconds(now, worker.heartbeat_at),
            "started_at": worker.started_at.isoformat(),
            "stats": worker.stats,
        }
        for worker in living
    ]


def _running(now: datetime) -> list[dict[str, Any]]:
    jobs = Job.objects.filter(pk__in=running_ids(500), state=State.RUNNING).order_by("started_at")[:10]
    return [
        {
            "id": job.pk,
            "kind": job.kind,
            "queue": job.queue,
            "attempt": job.attempt,
            "max_attempts": job.max_attempts,
            "worker": job.worker_id,
            "started_at": None if job.started_at is None else job.started_at.isoformat(),
            "seconds": None if job.started_at is None else _seconds(now, job.started_at),
            "progress": _progress(job),
        }
        for job in jobs.select_related("progress")
    ]


def _progress(job: Job) -> float | None:
    """How far the running attempt is; what an earlier one had reached says nothing."""
    progress = getattr(job, "progress", None)
    return progress.fraction if progress is not None and progress.attempt == job.attempt else None


def _dead() -> list[dict[str, Any]]:
    letters = DeadLetter.objects.order_by("-died_at", "-job_id")[:10]
    return [
        {
            "id": letter.pk,
            "kind": letter.kind,
            "queue": letter.queue,
            "error": f"{letter.error_class}: {letter.message}"[:200],
            "died_at": letter.died_at.isoformat(),
        }
        for letter in letters
    ]


def _seconds(now: datetime, then: datetime) -> float:
    return round(max(0.0, (now - then).total_seconds()), 1)


def groups() -> QuerySet[Any]:
    """The groups of dead letters with their exact count as `letters`, newest death first."""
    pending = DeadLetterTally.objects.filter(fingerprint=OuterRef("pk")).order_by().values("fingerprint")
    change = Subquery(pending.annotate(change_of=Sum("change")).values("change_of"))
    return DeadLetterGroup.objects.annotate(letters=F("count") + Coalesce(change, 0)).order_by(
        "-last_seen", "fingerprint"
    )
