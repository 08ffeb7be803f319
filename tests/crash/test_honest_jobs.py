"""A long job on a machine without a free cycle: its worker is slow to beat, and is not given up for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import WorkerProcess
from jobs.submit import JobSpec, submit_many
from tests.crash import kinds_faults  # noqa: F401 - registers the kind
from tests.crash.faults import Done, judge, until_none_is_left
from tests.crash.harness import History, Start
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

JOBS = 4
WORKERS = 2
_BURN = "import time; until = time.monotonic() + {seconds}\nwhile time.monotonic() < until: pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labour:
    """How long each of the four jobs takes; the lease is in the settings."""

    seconds: float
    settings: str


@contextmanager
def crowd(seconds: float) -> Iterator[None]:
    """Twice as many processes as there are cores, which do nothing but burn."""
    words = [sys.executable, "-c", _BURN.format(seconds=seconds)]
    burning = [subprocess.Popen(words) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait(10)


def submit(history: History, seconds: float) -> dict[str, int]:
    payloads = [{"task": f"t{n}", "seconds": seconds, "history": str(history.path)} for n in range(JOBS)]
    placed = submit_many([JobSpec(kind="test.burn", payload=one) for one in payloads])
    return {f"t{number}": one.id for number, one in enumerate(placed)}


@pytest.mark.parametrize(
    "labour",
    [
        pytest.param(Labour(seconds=10.0, settings="tests.crash.settings_burn"), id="short, 5 leases"),
        pytest.param(
            Labour(seconds=600.0, settings="tests.crash.settings_burn_long"),
            id="long, 240 leases",
            marks=pytest.mark.faults,
        ),
    ],
)
def test_an_honest_job_under_full_load_is_never_taken(
    labour: Labour, worker: Start, history: History, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """Four jobs hold the interpreters of two workers, each of which watches the other."""
    team = worker("--processes", str(WORKERS), "--concurrency", "2", settings=labour.settings)
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == WORKERS, timeout=20)
    promised = submit(history, labour.seconds)
    cursor = connection.cursor()
    with crowd(labour.seconds + 60):
        assert until_none_is_left(cursor, timeout=labour.seconds + 60), team.text
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
    verdict = judge(cursor, tmp_path, history, promised, Done())
    record_property("figures", verdict.figures)
    assert not verdict.violations, verdict.violations[:10]
    assert verdict.figures["starts"] == JOBS
    assert not WorkerProcess.objects.filter(state="lost").exists()
    assert_consistent(cursor, at_rest=True)


def test_rescue_by_age_is_seen_to_take_an_honest_job(worker: Start, history: History, tmp_path: Path) -> None:
    """The negative control: the watch over the beats is replaced by a limit of age."""
    worker("--processes", str(WORKERS), "--concurrency", "4", settings="tests.crash.settings_rescue_by_age")
    promised = submit(history, 4.0)
    history.wait_for("start", JOBS + 1)
    cursor = connection.cursor()

    def seen() -> bool:
        found = judge(cursor, tmp_path, history, promised, Done()).violations
        return any("to which nothing had been done" in one for one in found)

    assert eventually(seen, timeout=10, interval=0.2)
