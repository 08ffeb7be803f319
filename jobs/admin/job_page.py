"""What the page of one job shows, gathered in a fixed number of queries, each with a limit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from jobs import conf
from jobs.display import ago, exact, pretty, spoken
from jobs.explaining import explain
from jobs.explanation import facts_of, overtaken_until
from jobs.models import (
    Attempt,
    CancelRequest,
    Closed,
    DeadLetter,
    Dependency,
    Effect,
    Job,
    LogLine,
    LogLoss,
    Progress,
    UniqueKey,
    WorkerProcess,
)
from jobs.states import FINISHED, WAITING, State

__all__ = ["Try", "collect", "held_until", "holds_key", "is_held"]

_ATTEMPTS = 100
_LINES = 1_000
_NEIGHBOURS = 50
_EFFECTS = 50
_TEXT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt in the timeline, from its row or from the job itself."""

    number: int
    outcome: str
    worker: str
    started_at: datetime | None
    finished_at: datetime | None
    took: str
    error_class: str = ""
    message: str = ""
    traceback: str = ""


def collect(job: Job) -> dict[str, Any]:
    """Everything but the job's own columns, by the names that the templates use."""
    attempts = list(Attempt.objects.filter(job_id=job.pk).order_by("-number", "-pk")[: _ATTEMPTS + 1])
    workers = _workers({job.worker_id, *(attempt.worker_id for attempt in attempts)})
    lines = list(LogLine.objects.filter(job_id=job.pk).order_by("-pk")[:_LINES])
    letter = DeadLetter.objects.filter(job_id=job.pk).first() if job.state == State.DEAD else None
    return {
        "tries": [*_current(job, workers), *(_ended(attempt, workers) for attempt in attempts[:_ATTEMPTS])],
        "more_tries": len(attempts) > _ATTEMPTS,
        "letter": letter,
        "facts": _facts(job),
        "why": _why(job),
        "waits": explain(facts_of(job)) if job.state in WAITING else None,
        "progress": _progress(job),
        "lines": lines[::-1],
        "lines_more": conf.get().MAX_LOG_LINES > _LINES,
        "lines_full": len(lines) == _LINES < conf.get().MAX_LOG_LINES,
        "lines_most": min(_LINES, conf.get().MAX_LOG_LINES),
        "lines_kept": conf.get().MAX_LOG_LINES,
        "loss": LogLoss.objects.filter(pk=job.pk).first(),
        **_effects(job),
        "parents": _neighbours(parent=False, job=job),
        "children": _neighbours(parent=True, job=job),
        "payload": pretty(job.payload),
        "result": pretty(job.result) if job.state == State.COMPLETED else None,
        "options": pretty(job.options) if job.options else None,
    }


def _current(job: Job, workers: dict[int, str]) -> list[Try]:
    """The running attempt, and the one that completed, stand on the job; all others have rows."""
    if job.state not in (State.RUNNING, State.COMPLETED):
        return []
    end = job.finished_at if job.state == State.COMPLETED else None
    return [
        Try(
            number=job.attempt,
            outcome=job.state,
            worker=_name(job.worker_id, workers),
            started_at=job.started_at,
            finished_at=end,
            took=_took(job.started_at, end) if end else "",
        )
    ]


def _ended(attempt: Attempt, workers: dict[int, str]) -> Try:
    return Try(
        number=attempt.number,
        outcome=attempt.outcome,
        worker=_name(attempt.worker_id, workers),
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        took=_took(attempt.started_at, attempt.finished_at),
        error_class=attempt.error_class,
        message=attempt.message[:_TEXT],
        traceback=attempt.traceback[:_TEXT],
    )


def _took(start: datetime | None, end: datetime) -> str:
    return "" if start is None else spoken((end - start).total_seconds())


def _workers(ids: set[int | None]) -> dict[int, str]:
    wanted = [worker for worker in ids if worker is not None]
    return dict(WorkerProcess.objects.filter(pk__in=wanted).values_list("pk", "name"))


def _name(worker_id: int | None, workers: dict[int, str]) -> str:
    return "" if worker_id is None else workers.get(worker_id, f"worker {worker_id}")


def _facts(job: Job) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("Queue", job.queue),
        ("Priority", job.priority),
        ("Attempts", f"{job.attempt} of {job.max_attempts}"),
        ("Submitted", ago(job.created_at)),
        ("Not before", exact(job.scheduled_at)),
        ("Ready", ago(job.ready_at)),
        *([("Overtaken until", exact(overtaken_until(job)))] if job.state == State.AVAILABLE else []),
        ("Started", ago(job.started_at)),
        ("Finished", ago(job.finished_at)),
    ]
    facts += _times(job)
    if job.task:
        facts.insert(0, ("Task", job.task))
    if key := (job.options or {}).get("concurrency_key"):
        facts.append(("Concurrency key", key))
    if key := (job.options or {}).get("unique_key"):
        row = UniqueKey.objects.filter(job_id=job.pk).first()
        held = "free again" if row is None else held_until(row, job.state)
        facts.append(("Unique key", f"{key['key']}: {held}"))
    if job.created_by_id is not None:
        # The database does not hold on to the user: one may have been deleted beside Django.
        user = get_user_model().objects.filter(pk=job.created_by_id).first()
        facts.append(("Submitted by", str(user or f"user {job.created_by_id}, who is gone")))
    return facts


def holds_key(job: Job) -> UniqueKey | None:
    """The unique key that is the job's own at this moment."""
    row = UniqueKey.objects.filter(job_id=job.pk).first()
    return row if row is not None and is_held(row, job.state) else None


def is_held(row: UniqueKey, state: str | None) -> bool:
    """Whether a key is still held. `state`: of its job, None where that was deleted."""
    if row.scope == "unfinished":
        return state is not None and state not in FINISHED
    return row.until is None or row.until > timezone.now()


def held_until(row: UniqueKey, state: str | None) -> str:
    """Until when, in words."""
    if not is_held(row, state):
        return "free again"
    if row.until is not None:
        return f"until {exact(row.until)}"
    return "until it has ended" if row.scope == "unfinished" else "for ever"


def _times(job: Job) -> list[tuple[str, Any]]:
    """What few jobs have: a time to begin or to end by, and workers they have lost."""
    options: dict[str, Any] = job.options if isinstance(job.options, dict) else {}
    facts: list[tuple[str, Any]] = []
    if "expires_at" in options:
        facts.append(("Begins before", exact(datetime.fromisoformat(options["expires_at"]))))
    if "deadline" in options:
        given = options["deadline"]
        last = (
            datetime.fromisoformat(given)
            if isinstance(given, str)
            else job.created_at + timedelta(seconds=given)
        )
        facts.append(("Deadline", exact(last)))
    if "timeout" in options:
        facts.append(("Time-out", spoken(options["timeout"])))
    if "losses" in options:
        facts.append(("Workers lost", options["losses"]))
    return facts


def _why(job: Job) -> str:
    """Why the job is where it is, in one sentence, where that is not plain from its state."""
    match job.state:
        case State.RUNNING if CancelRequest.objects.filter(pk=job.pk).exists():
            return "Somebody asked it to stop; its worker has been told."
        case State.CANCELLED | State.DISCARDED | State.SKIPPED:
            return Closed.objects.filter(pk=job.pk).values_list("reason", flat=True).first() or ""
        case _:
            return ""


def _progress(job: Job) -> dict[str, Any] | None:
    found = Progress.objects.filter(pk=job.pk).first()
    if found is None or job.state not in (State.RUNNING, State.COMPLETED):
        return None
    return {"percent": round(found.fraction * 100), "note": found.note}


def _effects(job: Job) -> dict[str, Any]:
    """What `ctx.once` recorded, newest first."""
    found = list(Effect.objects.filter(job_id=job.pk).order_by("-pk")[: _EFFECTS + 1])
    shown = [(effect, pretty(effect.result)) for effect in found[:_EFFECTS]]
    return {"effects": shown, "more_effects": len(found) > _EFFECTS}


def _neighbours(*, parent: bool, job: Job) -> dict[str, Any]:
    """The jobs this one waits for, or with `parent` those that wait for it."""
    if job.workflow_id is None:
        return {"jobs": [], "more": False}
    mine, other = ("parent_id", "child") if parent else ("child_id", "parent")
    edges = Dependency.objects.filter(**{mine: job.pk}).order_by(f"{other}_id")
    columns = [f"{other}_id", f"{other}__kind", f"{other}__task", f"{other}__state"]
    rows = list(edges.values_list(*columns)[: _NEIGHBOURS + 1])
    jobs = [{"id": row[0], "kind": row[1], "task": row[2], "state": row[3]} for row in rows[:_NEIGHBOURS]]
    return {"jobs": jobs, "more": len(rows) > _NEIGHBOURS}
