"""A small world for the tests of the admin: one of everything, made without a worker, and a way to see any change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.utils import timezone

import jobs
from jobs import deadletters
from jobs.control import Actor
from jobs.models import (
    Attempt,
    DeadLetter,
    DeadLetterGroup,
    IdempotencyKey,
    Job,
    LogLine,
    OperatorAction,
    PausedKind,
    Ready,
    Schedule,
    UniqueKey,
    WorkerProcess,
)
from jobs.registry import registry
from jobs.steering import create_schedule

__all__ = ["KIND", "World", "dead_job", "keyed", "make", "snapshot"]

KIND = "admintest.work"
PAUSED = "nobody.works"

if KIND not in registry:

    @jobs.job(KIND, queue="admintest", max_attempts=3)
    def work(ctx: Any, payload: dict[str, Any]) -> None:
        """Never runs here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Primary keys of what there is."""

    available: int
    scheduled: int
    dead: int
    workflow: int
    schedule: int
    queue: str
    worker: int
    action: int
    group: str
    run: int
    unique: int
    idempotency: int


def dead_job(*, at: datetime | None = None, error: str = "ValueError", message: str = "no number") -> int:
    """A dead letter with the attempt that led to it, as an old row."""
    job = jobs.submit(KIND, {"to": "<script>alert(1)</script>"})
    at = at or timezone.now()
    Ready.objects.filter(pk=job.id).delete()
    Job.objects.filter(pk=job.id).update(state="dead", attempt=3, started_at=at, finished_at=at, worker_id=1)
    text = {"error_class": error, "message": message, "traceback": "Traceback <b>here</b>"}
    Attempt.objects.create(job_id=job.id, number=3, started_at=at, finished_at=at, outcome="failed", **text)
    DeadLetter.objects.create(
        job_id=job.id, kind=KIND, queue="admintest", attempts=3, fingerprint="f" * 32, died_at=at, **text
    )
    return job.id


def group_of(letter: int) -> str:
    """The group that the store would have made with the letter."""
    fingerprint = DeadLetter.objects.get(pk=letter).fingerprint
    group, _ = DeadLetterGroup.objects.get_or_create(
        pk=fingerprint, defaults={"error_class": "ValueError", "message": "no number", "kinds": [KIND]}
    )
    DeadLetterGroup.objects.filter(pk=group.pk).update(
        count=DeadLetter.objects.filter(fingerprint=group.pk).count()
    )
    return str(group.pk)


def run_over(operator: User, *letters: int) -> int:
    """A paced run over these letters, confirmed, of which nothing has been done yet."""
    actor = Actor.of(operator)
    run = deadletters.preview(actor, "replay", {"ids": letters})
    return deadletters.confirm(actor, run.pk, digest=run.digest, reason="mended", per_minute=1).pk


def keyed(user: User, key: str = "8e03978e", **more: Any) -> IdempotencyKey:
    """What a keyed request of this user left."""
    now = timezone.now()
    kept = {"route": "POST /api/v1/jobs", "status": 201, "answer": '{"id": 12, "result": "secret"}'}
    kept |= {"location": "http://testserver/api/v1/jobs/12", "expires_at": now + timedelta(hours=1)}
    return IdempotencyKey.objects.create(user=user, key=key, fingerprint="0" * 64, **{**kept, **more})


def make(operator: User) -> World:
    """One of everything."""
    PausedKind.objects.create(pk=PAUSED, paused_by="somebody")
    workflow, _ = jobs.submit_workflow(
        "nightly",
        [
            jobs.JobSpec(kind=KIND, key="a"),
            jobs.JobSpec(kind=KIND, key="b", parents=["a"]),
            jobs.JobSpec(kind=KIND, key="c", parents=["a", "b"]),
        ],
    )
    available = jobs.submit(KIND, {"n": 1}, unique_key="one").id
    LogLine.objects.create(job_id=available, attempt=1, at=timezone.now(), line="<i>a line</i>")
    scheduled = jobs.submit(KIND, scheduled_at=timezone.now() + timedelta(hours=1)).id
    worker = WorkerProcess.objects.create(
        name="w", hostname="h", pid=1, queues=[], kinds=[KIND], concurrency=1, stats={"completed": 1}
    )
    schedule = create_schedule(Actor.of(operator), name="hourly", kind=KIND, cron="0 * * * *")
    dead = dead_job()
    group = group_of(dead)
    run = run_over(operator, dead)
    return World(
        available=available,
        scheduled=scheduled,
        dead=dead,
        workflow=workflow,
        schedule=schedule.pk,
        queue="admintest",
        worker=worker.pk,
        action=OperatorAction.objects.filter(target_type="schedule").latest("pk").pk,
        group=group,
        run=run,
        unique=UniqueKey.objects.get(job_id=available).pk,
        idempotency=keyed(operator).pk,
    )


def snapshot() -> dict[str, list[Any]]:
    """Every row of our tables and of the accounts, so that two of them are equal only if nothing changed."""
    models = [*apps.get_app_config("jobs").get_models(), *apps.get_app_config("auth").get_models()]
    # A login writes the time of the login, which is no change made by a page.
    return {
        model._meta.label: [
            {key: value for key, value in row.items() if key != "last_login"}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in models
    }


def said(answer: Any) -> str:
    """The messages of an answer."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def schedule_fields(**changes: Any) -> dict[str, Any]:
    """A complete form of a schedule."""
    fields = {
        "name": "daily",
        "kind": KIND,
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "payload": "{}",
    }
    return fields | {"misfire": "latest", "catch_up_seconds": "3600", "queue": "", "priority": ""} | changes


def next_slot(pk: int) -> datetime | None:
    return Schedule.objects.get(pk=pk).next_slot_at
