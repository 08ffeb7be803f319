"""Workers that are killed or told to end, one by one. `test_zombies` stops them, `test_honest_jobs` lets them be."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import Attempt, Job, WorkerProcess
from jobs.submit import JobSpec, submit_many
from tests.crash.harness import History, Program, Start, Team, states
from tests.jobs.handlers.commanding import alive, noted
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def submit_tasks(history: History, seconds: float, *names: str) -> list[int]:
    specs = [JobSpec(kind="workflow.task", payload=history.payload(name, seconds)) for name in names]
    return [one.id for one in submit_many(specs)]


def runner_first(team: list[Program], history: History) -> list[Program]:
    """The workers, the one that runs the only task before the others."""
    history.wait_for("start", 1)
    pid = history.lines()[0]["pid"]
    return sorted(team, key=lambda one: one.process.pid != pid)


# -- killed ------------------------------------------------------------------------------------------------------------


def test_a_killed_workers_job_runs_again_within_ten_seconds(workers: Team, history: History) -> None:
    """With the default lease."""
    team = workers(2)
    (job,) = submit_tasks(history, 1.0, "t")
    victim, another = runner_first(team, history)
    victim.kill()
    killed_at = time.time()
    history.wait_for("start", 2, timeout=15)
    again_at = history.one("start", "t", 2)["at"]
    assert again_at - killed_at <= 10.0
    eventually(lambda: states() == {"completed": 1}, timeout=20)
    history.ends_once({"t": Job.objects.get(pk=job).attempt})
    assert list(Attempt.objects.values_list("number", "outcome", "error_class")) == [
        (1, "lost", "WorkerLost")
    ]
    assert WorkerProcess.objects.filter(state="lost").count() == 1
    another.send(signal.SIGTERM)
    assert another.end() == 0
    assert_consistent(connection.cursor(), at_rest=True)


# -- told to end -------------------------------------------------------------------------------------------------------


def stop_now(program: Program, *, at: float = 0.0) -> None:
    """TERM twice, not before `at`; signals of one kind do not queue, so the second waits until the first was heard."""
    program.send(signal.SIGTERM)
    eventually(lambda: "draining" in program.text)
    assert program.process.poll() is None, "the first one waits for what runs"
    eventually(lambda: time.time() >= at)
    program.send(signal.SIGTERM)


def test_term_lets_what_runs_end_and_gives_the_rest_back_at_no_cost(worker: Start, history: History) -> None:
    draining = worker("--concurrency", "2")
    submit_tasks(history, 1.5, *"abcdefgh")
    history.wait_for("start", 2)
    draining.send(signal.SIGTERM)
    assert draining.end() == 0, draining.text
    assert states() == {"completed": 2, "available": 6}
    assert set(Job.objects.filter(state="available").values_list("attempt", flat=True)) == {0}
    assert not Attempt.objects.exists()
    assert WorkerProcess.objects.get().state == "stopped"
    assert_consistent(connection.cursor(), at_rest=True)


def test_a_second_term_stops_now(worker: Start, history: History) -> None:
    stubborn = worker("--concurrency", "2")
    submit_tasks(history, 60.0, *"abcd")
    history.wait_for("start", 2)
    stop_now(stubborn)
    assert stubborn.end(timeout=5) == 0, stubborn.text
    assert states() == {"available": 4}
    assert set(Job.objects.values_list("attempt", flat=True)) == {0}
    assert history.count("end") == 0
    assert_consistent(connection.cursor(), at_rest=True)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_second_term_ends_programs_with_their_worker(worker: Start, tmp_path: Path, processes: str) -> None:
    """Else each would go on beside that of the next attempt."""
    stubborn = worker(
        "--processes", processes, settings="tests.crash.settings_programs", PROGRAMS_IN=str(tmp_path)
    )
    submit_many([JobSpec(kind="command.run", payload={"command": "sleep"})])
    (program,) = noted(tmp_path / "pids", 1)
    stop_now(stubborn)
    assert stubborn.end(timeout=5) == 0, stubborn.text
    eventually(lambda: not alive(program))
    assert states() == {"available": 1}


def test_a_drain_has_an_end(worker: Start, history: History) -> None:
    patient = worker(settings="tests.crash.settings_short_drain")
    submit_tasks(history, 60.0, "a")
    history.wait_for("start", 1)
    patient.send(signal.SIGTERM)
    assert patient.end(timeout=10) == 0, patient.text
    assert states() == {"available": 1}


def stop_inside_the_run(workers: Team, history: History) -> None:
    """The worker stops at once shortly before its run would end, and a free worker takes the job in that moment."""
    team = workers(2, "--concurrency", "1")
    (job,) = submit_tasks(history, 1.5, "t")
    first, second = runner_first(team, history)
    # What goes on in spite of it ends while the process still tidies up, which takes up to a second.
    stop_now(first, at=history.lines()[0]["at"] + 0.8)
    assert first.end() == 0
    eventually(lambda: states(pk=job) == {"completed": 1})
    history.ends_once({"t": 1})
    second.send(signal.SIGTERM)
    assert second.end() == 0
    assert_consistent(connection.cursor(), at_rest=True)


def test_a_job_given_back_does_not_go_on_beside_its_successor(workers: Team, tmp_path: Path) -> None:
    """Again where a slow machine let the run end before the second TERM was heard: there was no successor."""
    histories = (History(tmp_path / f"history-{number}.jsonl") for number in range(5))
    for history in histories:
        stop_inside_the_run(workers, history)
        if history.count("start") == 2:
            return
    pytest.fail("no run was stopped before its end")


def test_processes_end_with_their_supervisor(worker: Start, history: History) -> None:
    """Killed with SIGKILL, so that it can tell nobody: the children see their pipe close."""
    parent = worker("--processes", "2", "--concurrency", "1")
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == 2)
    submit_tasks(history, 0.5, "a", "b")
    history.wait_for("start", 2)
    parent.kill()
    eventually(lambda: WorkerProcess.objects.filter(state="stopped").count() == 2, timeout=15)
    assert states() == {"completed": 2}
