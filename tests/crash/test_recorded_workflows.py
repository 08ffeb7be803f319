"""The two published recordings, played back by real workers and judged by a program that shares no code with them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import Job, Workflow
from tests.crash.harness import ROOT, History, Start, Team, states
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

INPUTS = Path(__file__).parent / "recordings"
BACASS = INPUTS / "bacass-dirt02-001.json.gz"
MONTAGE = INPUTS / "montage-chameleon-dss-15d-001.json.gz"
TASKS = {BACASS: 11, MONTAGE: 2122}


def judged(recording: Path, history: History, *options: str) -> str:
    """The checker's sentence; it runs outside of the project, as anybody would run it."""
    checker = ROOT / "tests" / "history_checker.py"
    words = [sys.executable, "-I", str(checker), str(recording), str(history.path), *options]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[:2000] + done.stderr
    return done.stdout


def recorded_attempts(tmp_path: Path) -> str:
    """A file with the attempt of each task that the database calls completed."""
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(dict(Job.objects.filter(state="completed").values_list("task", "attempt"))))
    return str(path)


@pytest.mark.parametrize(
    ("recording", "scale"), [(BACASS, "0.0005"), (MONTAGE, "0.0001")], ids=["bacass", "montage"]
)
def test_each_recording_runs_to_the_end_with_every_job_exactly_once(
    recording: Path, scale: str, manage: Start, workers: Team, history: History, tmp_path: Path
) -> None:
    team = workers(2)
    words = ("--time-scale", scale, "--history", str(history.path), "--wait", "--timeout", "50")
    program = manage("import_workflow", str(recording), *words)
    assert program.end(timeout=55) == 0, program.text
    assert states() == {"completed": TASKS[recording]}
    assert "right" in judged(recording, history, "--recorded", recorded_attempts(tmp_path))
    assert "right" in judged(recording, history), "without help from the database too: nothing ran twice"
    for one in team:
        one.send(signal.SIGTERM)
        assert one.end() == 0, one.text
    assert_consistent(connection.cursor(), at_rest=True)


def test_a_worker_killed_in_the_middle_changes_nothing_about_the_end(
    manage: Start, worker: Start, workers: Team, history: History, tmp_path: Path
) -> None:
    victim, survivor = workers(2)
    words = ("--time-scale", "0.0008", "--history", str(history.path), "--wait", "--timeout", "50")
    program = manage("import_workflow", str(MONTAGE), *words)
    history.wait_for("end", 300)
    victim.kill()
    assert states()["completed"] < TASKS[MONTAGE], "it was in the middle"
    another = worker()
    assert program.end(timeout=55) == 0, program.text
    assert Workflow.objects.get().state == "completed"
    judged(MONTAGE, history, "--recorded", recorded_attempts(tmp_path))
    history.ends_once(dict(Job.objects.values_list("task", "attempt")))
    assert Job.objects.filter(attempt__gt=1).exists(), "what the victim held was run again"
    another.send(signal.SIGTERM)
    survivor.send(signal.SIGTERM)
    assert (another.end(), survivor.end()) == (0, 0)
    assert_consistent(connection.cursor(), at_rest=True)


def test_ctrl_c_while_waiting_leaves_the_workflow_running(
    manage: Start, worker: Start, history: History
) -> None:
    program = manage(
        "import_workflow", str(BACASS), "--time-scale", "0.001", "--wait", "--history", str(history.path)
    )
    eventually(lambda: Workflow.objects.exists() and "workflow" in program.text, timeout=20)
    program.send(signal.SIGINT)
    assert program.end() == 130
    assert "goes on" in program.text
    assert "Traceback" not in program.text
    worker()
    eventually(lambda: states() == {"completed": 11}, timeout=20)
    judged(BACASS, history)
