"""What one job, one model or one heap of old rows must not do to everything beside it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from pydantic import BaseModel, field_validator

import jobs
from jobs import JobSpec, lines, retention, schedules, steering, window
from jobs.control import Actor
from jobs.core.backoff import Fixed
from jobs.database import django_cursor
from jobs.errors import InvalidSubmission
from jobs.models import Job, Schedule
from jobs.registry import JobKind, registry
from jobs.retention import Janitor
from jobs.schedules import fill_due
from jobs.states import State
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import in_state, make_worker, take
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


class Moody(BaseModel):
    """Its check looks something up and does not find it."""

    size: int

    @field_validator("size")
    @classmethod
    def _known(cls, size: int) -> int:
        return {1: 1}[size]


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> str:
    def run(ctx: Any, payload: dict[str, Any]) -> None:
        return None

    kind = JobKind(
        name="test.moody",
        fn=run,
        queue="test",
        priority=0,
        max_attempts=1,
        backoff=Fixed(seconds=1),
        timeout=None,
        payload_model=Moody,
        is_async=False,
        description="",
    )
    monkeypatch.setitem(registry._kinds, kind.name, kind)
    return kind.name


def test_a_model_that_fails_refuses_the_submission(moody: str) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        jobs.submit(moody, {"size": 2})
    assert refused.value.field == "payload"
    assert "KeyError" in refused.value.reason
    assert not Job.objects.exists()


def test_a_model_that_fails_in_a_worker_costs_its_schedule_a_minute_and_not_the_worker(moody: str) -> None:
    fields: dict[str, Any] = {"kind": moody, "payload": {"size": 1}, "cron": "* * * * *", "timezone": "UTC"}
    schedule = steering.create_schedule(Actor(), name="s", **fields)
    Schedule.objects.update(payload={"size": 2}, next_slot_at="2026-01-01T00:00Z", catch_up_seconds=60)
    with django_cursor() as cursor:
        assert fill_due(cursor) == 0
    assert schedules.refused() == [schedule.pk]
    schedules.try_again()


def test_a_long_job_does_not_slow_down_the_short_ones_beside_it(bench: Bench) -> None:
    """It is the oldest the worker holds; only those that wait, and wait long, say that too much was claimed ahead."""
    long = jobs.submit("test.gated")
    bench.until(long.id, "running")
    eventually(lambda: long.id in bench.executor.running())
    began = time.monotonic()
    while time.monotonic() < began + 1.2 or bench.scheduler.held() < 2:
        jobs.submit_many([JobSpec(kind="test.echo")] * 50)
        bench.scheduler._prefetch.average = 0.001
        bench.round()
        assert bench.scheduler._prefetch.average < 0.5
    kinds.GATE.set()
    bench.until(long.id, "completed")


def test_old_jobs_that_must_stay_do_not_hold_up_the_deletion_of_those_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "STRETCH", 2)
    monkeypatch.setattr(retention, "STRETCHES", 1)
    for _ in range(5):
        in_state(State.DEAD)
    gone = in_state(State.COMPLETED)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET created_at = created_at - interval '1 year', finished_at = now() - interval '1 year'"
        )
    janitor = Janitor(on_death=lambda *_: None)
    try:
        assert [janitor.tick() for _ in range(4)].count(1) == 1
        for _ in range(4):
            assert janitor.tick() == 0, "and it begins anew"
    finally:
        janitor.stop()
    assert not Job.objects.filter(pk=gone).exists()
    assert Job.objects.count() == 5


def test_two_queues_share_a_worker_and_each_keeps_its_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far apart their ranks, and though the heaps hold only a few of each."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 4)
    idle = jobs.submit_many([JobSpec(kind="test.echo", queue="idle", priority=-100)] * 6)
    urgent = jobs.submit_many([JobSpec(kind="test.echo", queue="urgent", priority=100)] * 6)
    seen = window.Window(queues=[], kinds=["test.echo"], horizon=3.0)
    order: list[int] = []
    with django_cursor() as cursor:
        while len(order) < 12:
            seen.poll(cursor)
            assert len(seen) <= 4
            best = seen.candidates(2)
            taken = take(make_worker(), *best)
            seen.claimed(best, [job.id for job in taken], 2)
            order += best
    first = {job.id for job in idle}
    assert [job for job in order if job in first] == [job.id for job in idle]
    assert [job for job in order if job not in first] == [job.id for job in urgent]
    assert all(len(first & set(order[: 2 * n])) == n for n in range(1, 7))
