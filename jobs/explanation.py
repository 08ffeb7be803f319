"""The facts behind an explanation: a few bounded reads around one job. Decides nothing (`explaining.py` does)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from jobs import conf
from jobs.errors import NotFound
from jobs.explaining import Explanation, Facts, Parent, explain
from jobs.models import (
    Bucket,
    Closed,
    Dependency,
    Job,
    OperatorAction,
    PausedKind,
    Permit,
    Queue,
    Scheduled,
    WorkerProcess,
)
from jobs.queue_steering import limits_of
from jobs.states import State
from jobs.store.limiting import Limits
from jobs.store.statements import rows

__all__ = ["explained", "facts_of", "overtaken_until"]

AHEAD_CAP = 10_000
_NAMED = 10
_WORKERS = 1_000
_PACE_SECONDS = 300.0
_ENOUGH = 5
_HIGHEST = 100


def explained(job_id: int) -> Explanation:
    """Why a job does not run. Raises NotFound."""
    job = Job.objects.defer("payload", "result").filter(pk=job_id).first()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return explain(facts_of(job))


def overtaken_until(job: Job) -> datetime | None:
    """Until when jobs that become ready may still go before an available one; None in a queue without ageing.

    What becomes ready later, in the same queue and of whatever priority, starts after it.
    """
    if job.state != State.AVAILABLE or job.ready_at is None:
        return None
    ageing = Queue.objects.filter(pk=job.queue).values_list("ageing_seconds", flat=True).first()
    if ageing is None:
        return job.ready_at if job.priority == _HIGHEST else None
    try:
        return job.ready_at + timedelta(seconds=(_HIGHEST - job.priority) * ageing)
    except OverflowError:
        return None


def facts_of(job: Job) -> Facts:
    """Everything `explain` asks for."""
    with connection.cursor() as cursor:
        now = datetime.fromtimestamp(rows(cursor, "database_clock", {})[0][0] / 1_000_000, tz=UTC)
        ahead, ahead_of_key = rows(cursor, "jobs_ahead", {"job": job.pk, "cap": AHEAD_CAP + 1})[0]
        done = rows(cursor, "recent_pace", {"job": job.pk, "seconds": _PACE_SECONDS})[0]
    queue = Queue.objects.filter(pk=job.queue).first()
    kind = PausedKind.objects.filter(pk=job.kind).first()
    key = (job.options or {}).get("concurrency_key")
    paused_at = None if queue is None else queue.paused_at
    return Facts(
        now=now,
        state=State(job.state),
        kind=job.kind,
        queue=job.queue,
        key=key,
        due_at=_due(job),
        reason=Closed.objects.filter(pk=job.pk).values_list("reason", flat=True).first() or "",
        queue_paused_at=paused_at,
        queue_paused_by=_who_paused(job.queue) if paused_at is not None else "",
        kind_paused_at=None if kind is None else kind.paused_at,
        kind_paused_by="" if kind is None else kind.paused_by,
        ahead=min(ahead, AHEAD_CAP),
        ahead_capped=ahead > AHEAD_CAP,
        ahead_of_key=ahead_of_key,
        pace=done[0] / done[1] if done[0] >= _ENOUGH and done[1] else None,
        **_parents(job),
        silent_since=_silent_since(job, now),
        **_workers(job, now),
        **_used(job, Limits() if queue is None else limits_of(queue), key, now),
    )


def _due(job: Job) -> datetime | None:
    if job.state == State.BLOCKED:
        return job.scheduled_at
    return Scheduled.objects.filter(pk=job.pk).values_list("at", flat=True).first()


def _who_paused(queue: str) -> str:
    acts = OperatorAction.objects.filter(target_type="queue", target_id=queue, action="pause")
    return acts.order_by("-pk").values_list("actor_name", flat=True).first() or ""


def _parents(job: Job) -> dict[str, Any]:
    if job.state != State.BLOCKED:
        return {}
    edges = Dependency.objects.filter(child_id=job.pk).exclude(parent__state=State.COMPLETED)
    found = list(edges.order_by("parent_id").values_list("parent_id", "parent__state")[:_NAMED])
    parents = [Parent(id=parent, state=state) for parent, state in found]
    return {"parents": parents, "more_parents": max(0, edges.count() - len(parents))}


def _silent_since(job: Job, now: datetime) -> datetime | None:
    if job.state != State.RUNNING or job.worker_id is None:
        return None
    worker = WorkerProcess.objects.filter(pk=job.worker_id).values_list("state", "heartbeat_at").first()
    if worker is None or now - worker[1] <= timedelta(seconds=conf.get().LEASE_SECONDS):
        return None
    return worker[1]


def _workers(job: Job, now: datetime) -> dict[str, Any]:
    """Those that give signs of life: where every worker was killed, nobody is left to declare one lost."""
    since = now - timedelta(seconds=conf.get().LEASE_SECONDS)
    living = (
        WorkerProcess.objects.filter(state="live", heartbeat_at__gt=since)
        .order_by("-pk")
        .values_list("queues", "kinds", "pk", "concurrency", "lost_running")[:_WORKERS]
    )
    serving = [worker for worker in living if not worker[0] or job.queue in worker[0]]
    knowing = [worker for worker in serving if job.kind in worker[1]]
    held, named = 0, None
    if knowing and job.state == State.AVAILABLE:
        params = {"workers": [worker[2] for worker in knowing], "named": _NAMED, "cap": AHEAD_CAP}
        with connection.cursor() as cursor:
            held, named = rows(cursor, "held_by", params)[0]
    return {
        "serving": len(serving),
        "knowing": len(knowing),
        "threads": sum(worker[3] for worker in knowing),
        "held": held,
        "held_jobs": named or [],
        # Coroutines have places of their own beside the threads': what is over is no other worker's.
        "lost_running": sum(min(worker[3:5]) for worker in knowing),
    }


def _used(job: Job, limits: Limits, key: str | None, now: datetime) -> dict[str, Any]:
    if not limits.any:
        return {}
    places = Permit.objects.filter(queue=job.queue)
    of_key = places.filter(key=key) if key else places.none()
    line = Bucket.objects.filter(queue=job.queue, key="").first()
    lane = Bucket.objects.filter(queue=job.queue, key=key).first() if key else None
    return {
        "limits": limits,
        "running": places.count(),
        "holders": list(places.order_by("pk").values_list("job_id", flat=True)[:_NAMED]),
        "key_running": of_key.count(),
        "key_holders": list(of_key.order_by("pk").values_list("job_id", flat=True)[:_NAMED]),
        "tokens": _tokens(line, limits.rate, limits.rate_seconds, limits.rate_burst, now),
        "key_tokens": _tokens(lane, limits.key_rate, limits.key_rate_seconds, limits.key_rate_burst, now),
    }


def _tokens(
    bucket: Bucket | None, rate: int | None, seconds: float, burst: int | None, now: datetime
) -> float | None:
    """As jobs_tokens() in the database."""
    if bucket is None or rate is None:
        return None
    come_in = max(0.0, (now - bucket.refilled_at).total_seconds()) * rate / seconds
    return min(float(burst or rate), bucket.tokens + come_in)
