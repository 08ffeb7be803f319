"""A process that dies under a supervisor is declared lost by the one that takes its seat, before any lease is over."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from django.db import connection

from jobs.models import Attempt, Job, WorkerProcess
from jobs.submit import submit
from tests.crash.faults import children
from tests.crash.harness import History, Program, Start, states
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def killed_in_a_job(worker: Start, history: History, settings: str) -> Program:
    """Two processes, of which the one that runs the only job is killed."""
    team = worker("--processes", "2", settings=settings)
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == 2, timeout=20)
    submit("workflow.task", history.payload("t", 0.5))
    history.wait_for("start", 1)
    os.kill(history.lines()[0]["pid"], signal.SIGKILL)
    return team


def test_the_next_process_in_its_seat_says_so(worker: Start, history: History) -> None:
    team = killed_in_a_job(worker, history, "tests.crash.settings_long_lease")
    eventually(lambda: states() == {"completed": 1}, timeout=30)
    history.ends_once({"t": Job.objects.get().attempt})
    assert list(Attempt.objects.values_list("number", "outcome", "error_class")) == [
        (1, "lost", "WorkerLost")
    ]
    assert sorted(WorkerProcess.objects.values_list("state", flat=True)) == ["live", "live", "lost"]
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
    assert sorted(WorkerProcess.objects.values_list("state", flat=True)) == ["lost", "stopped", "stopped"]
    assert_consistent(connection.cursor(), at_rest=True)


def test_each_death_in_a_seat_is_told(worker: Start, history: History) -> None:
    """Also of a process that came after another."""
    team = worker("--processes", "2", settings="tests.crash.settings_long_lease")
    for lost in (2, 4):
        # With a heartbeat: the seat is written after the row, and before the first of them.
        eventually(lambda: WorkerProcess.objects.filter(state="live", beat__gt=0).count() == 2, timeout=30)
        for pid in children(team):
            os.kill(pid, signal.SIGKILL)
        eventually(partial(_lost, lost), timeout=30)
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text


def _lost(count: int) -> bool:
    return WorkerProcess.objects.filter(state="lost").count() == count


def test_told_nothing_nobody_finds_out(worker: Start, history: History) -> None:
    """The negative control."""
    team = killed_in_a_job(worker, history, "tests.crash.settings_no_seats")
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == 3, timeout=30)
    with pytest.raises(AssertionError):
        eventually(lambda: states() == {"completed": 1}, timeout=5)
    assert states() == {"running": 1}
    team.send(signal.SIGTERM)
    assert team.end() == 0, team.text
