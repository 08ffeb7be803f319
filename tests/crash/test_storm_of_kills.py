"""Worker processes are killed one after the other while jobs run: none is lost, none stuck, none recorded twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import WorkerProcess
from jobs.submit import JobSpec, submit_many
from tests.crash.faults import Done, children, judge, specs, until_none_is_left
from tests.crash.harness import History, Program, Start
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WORKERS = 4
AGAIN_WITHIN = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How many jobs, how often one of the four workers is killed, and how long all of it may take."""

    jobs: int
    every: float
    timeout: float
    settings: str


SHORT = Storm(jobs=900, every=1.0, timeout=40.0, settings="tests.crash.settings_storm")
LONG = Storm(jobs=20_000, every=2.0, timeout=600.0, settings="tests.crash.settings_blameless")


def submit(history: History, count: int) -> dict[str, int]:
    """Ids by task, of jobs of 5 to 200 ms. The seed is fixed; what meets what is the machine's."""
    payloads = specs(history, count, random.Random(1), 0.005, 0.2)
    wanted = [JobSpec(kind="workflow.task", payload=one, max_attempts=100) for one in payloads.values()]
    placed = [one.id for at in range(0, count, 5_000) for one in submit_many(wanted[at : at + 5_000])]
    return dict(zip(payloads, placed, strict=True))


def strikes(team: Program, done: Done, every: float) -> Callable[[], None]:
    """Kills one of the team's processes, drawn at random, whenever it is time."""
    rng, due = random.Random(2), [time.monotonic() + every]

    def strike() -> None:
        if time.monotonic() >= due[0] and (alive := children(team)):
            due[0] += every
            done.kill(rng.choice(alive))

    return strike


def start_team(worker: Start, settings: str) -> Program:
    team = worker("--processes", str(WORKERS), settings=settings)
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == WORKERS, timeout=20)
    return team


@pytest.mark.parametrize(
    "storm", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.faults)]
)
def test_a_storm_of_kills_loses_nothing_and_records_nothing_twice(
    storm: Storm, worker: Start, history: History, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    promised, done = submit(history, storm.jobs), Done()
    team = start_team(worker, storm.settings)
    began = time.monotonic()
    cursor = connection.cursor()
    until_none_is_left(cursor, timeout=storm.timeout, meanwhile=strikes(team, done, storm.every))
    took = round(time.monotonic() - began, 1)
    assert team.process.poll() is None, team.text
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
    verdict = judge(cursor, tmp_path, history, promised, done, again_within=AGAIN_WITHIN)
    record_property("figures", verdict.figures | {"seconds": took})
    assert not verdict.violations, verdict.violations[:10]
    assert verdict.figures["kills"] >= 4, verdict.figures
    assert verdict.figures["struck"] >= 10, verdict.figures
    assert_consistent(cursor, at_rest=True)


def stopped_in_the_middle(pids: list[int], history: History) -> int:
    """A process that is stopped within a job, so that it surely holds one; 0 when none of them is at one."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        begun = Counter((line["task"], line["attempt"]) for line in history.lines() if line["pid"] == pid)
        if 1 in begun.values():
            return pid
        os.kill(pid, signal.SIGCONT)
    return 0


def test_without_the_rescue_the_storm_is_seen_to_leave_jobs_stuck(
    worker: Start, history: History, tmp_path: Path
) -> None:
    """The negative control: nobody reads off what a lost worker held."""
    promised, done = submit(history, 120), Done()
    team = start_team(worker, "tests.crash.settings_no_rescue")
    history.wait_for("start", 30)
    done.kill(eventually(lambda: stopped_in_the_middle(children(team), history), timeout=20))
    eventually(lambda: WorkerProcess.objects.filter(state="lost").exists(), timeout=20)
    assert not until_none_is_left(connection.cursor(), timeout=2.0)
    found = judge(connection.cursor(), tmp_path, history, promised, done).violations
    assert any("is running in the end" in one for one in found), found
    assert any("never ran again" in one for one in found), found
