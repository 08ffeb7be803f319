"""How tests come by dead letters, count them, and confirm what a preview has frozen."""

from __future__ import annotations

from typing import Any

import jobs
from jobs import deadletters
from jobs.acting import Actor
from jobs.database import django_cursor
from jobs.models import DeadLetterRun
from jobs.queries import groups
from jobs.states import State
from jobs.store import letters
from jobs.store.ending import end_attempts
from jobs.store.values import Error, Transition
from tests.jobs.ground import make_worker, take

ME = Actor()


def die(*ids: int, fingerprint: str = "f" * 32, error: str = "ValueError") -> list[int]:
    """The jobs run and die."""
    worker = make_worker()
    failed = Error(error_class=error, message="boom", traceback="…", fingerprint=fingerprint)
    with django_cursor() as cursor:
        ends = [
            Transition(job=job, target=State.DEAD, error=failed, outcome="failed")
            for job in take(worker, *ids)
        ]
        end_attempts(cursor, worker, ends)
    return list(ids)


def dead(count: int = 1, *, kind: str = "test.echo", payload: Any = None, **how: Any) -> list[int]:
    return die(*(jobs.submit(kind, payload).id for _ in range(count)), **how)


def counts() -> dict[str, int]:
    return {group.pk: group.letters for group in groups()}


def fold() -> None:
    with django_cursor() as cursor:
        letters.fold(cursor)


def confirm(run: DeadLetterRun, actor: Actor = ME, **how: Any) -> DeadLetterRun:
    return deadletters.confirm(actor, run.pk, digest=run.digest, reason="mended", **how)
