"""Jobs with unique keys."""

from __future__ import annotations

from typing import Any

import jobs
from jobs.database import django_cursor
from jobs.states import State
from jobs.store.ending import end_attempts
from jobs.store.values import Transition
from tests.jobs.ground import make_worker, take

KIND = "test.echo"


def submit(key: Any = "k", payload: dict[str, Any] | None = None, **options: Any) -> jobs.Submitted:
    return jobs.submit(KIND, payload, unique_key=key, **options)


def complete(job_id: int, result: str = "null") -> None:
    worker = make_worker()
    (claimed,) = take(worker, job_id)
    with django_cursor() as cursor:
        end_attempts(cursor, worker, [Transition(job=claimed, target=State.COMPLETED, result=result)])
