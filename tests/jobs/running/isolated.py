"""Jobs in child processes: one is run to an end, what its attempt tells, and whether processes are gone."""

from __future__ import annotations

from typing import Any

import jobs
from jobs.models import Attempt, Job
from tests.jobs import isolated_kinds, kinds  # noqa: F401 - declares the kinds
from tests.jobs.conftest import Bench
from tests.jobs.handlers.commanding import alive
from tests.support import eventually


def run(bench: Bench, kind: str, payload: dict[str, Any] | None = None) -> Any:
    submitted = jobs.submit(f"isolated.{kind}", payload or {})
    return bench.until(submitted.id, "completed", "retryable", "dead", "scheduled", "cancelled")


def error_of(job: Job) -> tuple[str, str]:
    attempt = Attempt.objects.get(job=job)
    return attempt.error_class, attempt.message


def gone(*pids: int) -> None:
    eventually(lambda: not any(alive(pid) for pid in pids))
