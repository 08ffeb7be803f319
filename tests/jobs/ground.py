"""Jobs in every state, made by the store itself, in the test's own transaction and without a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jobs
from jobs import JobSpec
from jobs.database import django_cursor
from jobs.models import Job, OperatorAction
from jobs.states import State
from jobs.store import moving, workers
from jobs.store.claiming import claim
from jobs.store.ending import end_attempts
from jobs.store.values import ClaimedJob, Error, Recorded, Transition
from notifications.items import expand
from notifications.models import Event
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.support_consistency import assert_consistent

__all__ = [
    "consistent",
    "end",
    "in_state",
    "last_action",
    "make_worker",
    "person",
    "state_of",
    "take",
    "told",
]

BOOM = Error(error_class="ValueError", message="boom", traceback="…", fingerprint="f" * 32)


def make_worker(name: str = "test") -> int:
    with django_cursor() as cursor:
        return workers.register(cursor, name=name, hostname="test", pid=1, queues=[], kinds=[], concurrency=1)


def take(worker_id: int, *ids: int) -> list[ClaimedJob]:
    """Claim these jobs."""
    with django_cursor() as cursor:
        return claim(cursor, worker_id=worker_id, candidates=ids, limit=len(ids)).jobs


def end(worker_id: int, claimed: Sequence[ClaimedJob], target: State) -> Recorded:
    """End the attempts in that state."""
    error = BOOM if target in (State.DEAD, State.RETRYABLE) else None
    ends = [
        Transition(job=job, target=target, error=error, outcome="failed" if error else "", delay=60)
        for job in claimed
    ]
    with django_cursor() as cursor:
        return end_attempts(cursor, worker_id, ends)


def in_state(state: State) -> int:
    """A job in that state; its id."""
    match state:
        case State.BLOCKED | State.SKIPPED:
            specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
            _, (parent, child) = jobs.submit_workflow("pair", specs)
            if state is State.SKIPPED:
                with django_cursor() as cursor:
                    moving.close(cursor, [parent.id], State.CANCELLED, reason="test")
            return child.id
        case State.SCHEDULED:
            return jobs.submit("test.echo", scheduled_at=datetime.now(UTC) + timedelta(hours=1)).id
        case State.AVAILABLE:
            return jobs.submit("test.echo").id
    job_id = jobs.submit("test.echo").id
    worker_id = make_worker()
    claimed = take(worker_id, job_id)
    if state is not State.RUNNING:
        end(worker_id, claimed, state)
    return job_id


def state_of(job_id: int) -> str:
    return Job.objects.get(pk=job_id).state


def told(kind: str = "") -> list[tuple[str, list[str], dict[str, Any]]]:
    """The events in the log, of one kind or all: kind, topics, payload."""
    rows = Event.objects.order_by("pk").values_list("items", flat=True)
    found = [(name, list(topics), payload) for row in rows for _, name, topics, payload in expand(row)]
    return [item for item in found if item[0] == kind or not kind]


def last_action() -> OperatorAction:
    return OperatorAction.objects.latest("pk")


def consistent() -> None:
    with django_cursor() as cursor:
        assert_consistent(cursor)


def person(name: str, *permissions: str) -> Any:
    """A user with these permissions of the jobs app."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user(name)
    found = Permission.objects.filter(content_type__app_label="jobs", codename__in=permissions)
    assert found.count() == len(permissions)
    user.user_permissions.set(found)
    return User.objects.get(pk=user.pk)
