"""Ground for tests of several workers that divide a backlog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jobs
from jobs import JobSpec
from jobs.database import django_cursor
from jobs.models import Ready, WorkerProcess
from jobs.store import workers
from jobs.window import Window
from tests.jobs import kinds as declared  # noqa: F401 - registers the kinds

__all__ = ["BLOCK", "KINDS", "ROOM", "SERVED", "Clock", "divided", "make_worker", "part", "submitted"]

ROOM = 100
BLOCK = 64
"""Of ids, as `ready_heads.sql` has it."""
SERVED = ["test"]
KINDS = ["test.echo"]


def make_worker(*, queues: Sequence[str] = SERVED, kinds: Sequence[str] = KINDS, state: str = "live") -> int:
    with django_cursor() as cursor:
        worker = workers.register(
            cursor, name="test", hostname="test", pid=1, queues=queues, kinds=kinds, concurrency=8
        )
    WorkerProcess.objects.filter(pk=worker).update(state=state)
    return worker


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def divided(cursor: Any, worker: int, queues: Sequence[str] = SERVED, **options: Any) -> list[int]:
    """The ids that a worker would ask for, had it just missed some."""
    window = Window(queues=queues, kinds=KINDS, horizon=3.0, **options)
    window.poll(cursor, worker)
    window._lines._division.note(missed=ROOM, got=ROOM)
    window.poll(cursor, worker)
    return window.candidates(10_000)


def submitted(count: int, *, rank: int | None = None, queue: str = "test") -> list[int]:
    ids = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo", queue=queue)] * count)]
    if rank is not None:
        Ready.objects.filter(job__in=ids).update(rank=rank)
    return ids


def part(ids: list[int], place: int) -> list[int]:
    return [job for job in ids if job // BLOCK % 2 == place]
