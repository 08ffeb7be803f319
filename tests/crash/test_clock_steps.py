"""The wall clock of one worker process is set an hour forward and back while it works: nobody notices.

A small library, compiled here and preloaded into that process alone, moves its wall clock; its monotonic clock runs on,
as it does when an administrator or NTP sets the time. The worker beside it keeps the right time.
"""

from __future__ import annotations

import struct
import subprocess
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from jobs import JobSpec, submit_many
from jobs.control import Actor
from jobs.models import Attempt, Job, WorkerProcess
from jobs.steering import create_schedule
from tests.crash.harness import History, Start
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.needs("cc")]

HOUR = 3600
SOURCE = Path(__file__).with_name("stepped_clock.c")


class Clock:
    """The wall clock of the processes that were started with its environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        self.step(0)
        library = folder / "stepped_clock.so"
        command = [
            "cc",
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            "-o",
            str(library),
            str(SOURCE),
            "-ldl",
        ]
        subprocess.run(command, check=True, timeout=60)
        self.environment = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def step(self, seconds: int) -> None:
        """From now on it is that far from the right time."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def submit(
    history: History, name: str, *, count: int = 4, later: float | None = None, queue: str | None = None
) -> None:
    at = None if later is None else timezone.now() + timedelta(seconds=later)
    payloads = [history.payload(f"{name}-{n}", 0.05) for n in range(count)]
    submit_many(
        [JobSpec(kind="workflow.task", payload=payload, scheduled_at=at, queue=queue) for payload in payloads]
    )


def ended(name: str) -> bool:
    return not Job.objects.filter(payload__task__startswith=name).exclude(state="completed").exists()


def shown_clock(history: History, name: str) -> float:
    """How far the process that ran a job of that name was ahead of us, by what it wrote down."""
    told = [
        line["at"] for line in history.lines() if line["task"].startswith(name) and line["event"] == "end"
    ]
    return float(max(told, key=lambda at: abs(at - time.time()))) - time.time()


def beats() -> dict[int, int]:
    return dict(WorkerProcess.objects.values_list("id", "beat"))


def beat_since(before: dict[int, int]) -> bool:
    """Has each worker's heart beaten three times more?"""
    return all(beat > before[worker] + 2 for worker, beat in beats().items())


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((HOUR, -HOUR), id="ci"),
        pytest.param((-HOUR, HOUR, 0) * 5, marks=pytest.mark.faults, id="long"),
    ],
)
def test_a_stepped_clock_moves_no_due_time_and_costs_no_lease(
    steps: tuple[int, ...], worker: Start, clock: Clock, history: History
) -> None:
    stepped = worker("--concurrency", "2", "--name", "stepped", **clock.environment)
    worker("--concurrency", "2", "--name", "steady", "--queues", "default")
    # Its slot is at least half an hour away, whenever the test runs.
    minute = (timezone.now() + timedelta(minutes=45)).minute
    slot = {"task": "slot", "seconds": 0}
    create_schedule(Actor(), name="hourly", kind="workflow.task", cron=f"{minute} * * * *", payload=slot)
    submit(history, "half-an-hour", count=8, later=1800)
    for number, ahead in enumerate(steps):
        before = beats()
        clock.step(ahead)
        submit(history, f"now-{number}-")
        submit(history, f"soon-{number}-", later=1.0)
        # These nobody takes but the worker whose clock is stepped.
        submit(history, f"own-now-{number}-", queue="own")
        submit(history, f"own-soon-{number}-", later=1.0, queue="own")
        for name in ("now", "soon", "own-now", "own-soon"):
            eventually(partial(ended, f"{name}-{number}-"), timeout=20)
        for name in ("own-now", "own-soon"):
            assert abs(shown_clock(history, f"{name}-{number}-") - ahead) < 60
        eventually(partial(beat_since, before), timeout=20)
    assert not Job.objects.filter(started_at__lt=F("scheduled_at")).exists()
    later = Job.objects.filter(payload__task__startswith="half")
    assert set(later.values_list("state", flat=True)) == {"scheduled"}
    assert not Job.objects.filter(payload__task="slot").exists()
    assert not Attempt.objects.exists()
    assert set(WorkerProcess.objects.values_list("state", flat=True)) == {"live"}
    assert stepped.process.poll() is None, stepped.text
    with connection.cursor() as cursor:
        assert_consistent(cursor)


def test_by_the_workers_own_clock_jobs_would_run_early(worker: Start, clock: Clock, history: History) -> None:
    """The negative control; and the clock of the process is really set, or the test above would show nothing."""
    clock.step(HOUR)
    worker("--concurrency", "2", settings="tests.crash.settings_own_clock", **clock.environment)
    submit(history, "half-an-hour", later=1800)
    eventually(lambda: ended("half-an-hour"), timeout=20)
    assert abs(shown_clock(history, "half-an-hour") - HOUR) < 60
    clock.step(-HOUR)
    submit(history, "shown")
    eventually(lambda: ended("shown"), timeout=20)
    assert abs(shown_clock(history, "shown") + HOUR) < 60
