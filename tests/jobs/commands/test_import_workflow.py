"""`manage.py import_workflow`: what it puts in, what it refuses, how it waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.handlers.trace import sign_history
from jobs.importing import waiting
from jobs.models import Dependency, Job, Workflow
from tests.jobs.commands.documents import EDGES, diamond_1_4, diamond_1_5, written
from tests.races.harness import Hand, dead


def imported(path: Path, *words: str) -> str:
    out = StringIO()
    call_command("import_workflow", str(path), *words, stdout=out)
    return out.getvalue()


def refused(path: Path, *words: str) -> str:
    with pytest.raises(CommandError) as caught:
        imported(path, *words)
    assert caught.value.returncode == 2
    assert not Workflow.objects.exists()
    assert not Job.objects.exists()
    return str(caught.value)


@pytest.mark.django_db
@pytest.mark.parametrize("document", [diamond_1_5(), diamond_1_4()], ids=["1.5", "1.4"])
def test_one_workflow_with_the_edges_of_the_file(tmp_path: Path, document: Any) -> None:
    told = imported(written(tmp_path, document), "--time-scale", "0.5", "--queue", "night")
    workflow = Workflow.objects.get()
    assert told == f'workflow {workflow.pk} "diamond": 4 jobs, 4 edges\n'
    jobs = {job.task: job for job in Job.objects.filter(workflow=workflow)}
    assert {task: job.payload["seconds"] for task, job in jobs.items()} == {
        "a": 0.5,
        "b": 1.0,
        "c": 0.25,
        "d": 0.0,
    }
    assert {(job.kind, job.queue) for job in jobs.values()} == {("workflow.task", "night")}
    edges = set(Dependency.objects.values_list("parent__task", "child__task"))
    assert edges == {(parent, child) for child, parents in EDGES.items() for parent in parents}
    assert {task: job.state for task, job in jobs.items()} == {
        t: "blocked" if EDGES[t] else "available" for t in EDGES
    }


@pytest.mark.django_db
def test_a_history_is_made_and_signed_with_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, diamond_1_5())
    monkeypatch.chdir(tmp_path)
    imported(path, "--history", "h.jsonl", "--name", "mine")
    assert (tmp_path / "h.jsonl").read_bytes() == b""
    assert Workflow.objects.get().name == "mine"
    payloads = {job.task: job.payload["history"] for job in Job.objects.all()}
    assert payloads == {task: sign_history(tmp_path / "h.jsonl", task) for task in EDGES}


@pytest.mark.django_db
def test_a_bad_file_is_refused_whole(tmp_path: Path) -> None:
    document = diamond_1_5()
    document["workflow"]["specification"]["tasks"][3]["parents"][0] = "nobody"
    path = written(tmp_path, document)
    assert refused(path) == (
        f"{path}: workflow.specification.tasks[3].parents[0]: 'nobody' is no task of this workflow"
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--time-scale", "1e6", "--name", "x"], None),
        (["--queue", "no queue"], "queue"),
        (["--name", "x" * 201], "name"),
        (["--history", "/absent/folder/h"], "cannot be written"),
        (["--history", "."], "cannot be written"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, words: list[str], message: str | None) -> None:
    document = diamond_1_5()
    if message is None:
        document["workflow"]["execution"]["tasks"][1]["runtimeInSeconds"] = 1000
        message = "more than 30 days"
    assert message in refused(written(tmp_path, document), *words)


@pytest.mark.parametrize("scale", ["-1", "nan", "inf", "1e7", "fast"])
def test_a_time_scale_is_a_sensible_number(tmp_path: Path, scale: str) -> None:
    with pytest.raises(CommandError, match="--time-scale"):
        imported(written(tmp_path, diamond_1_5()), f"--time-scale={scale}")


@pytest.mark.django_db
def test_more_tasks_than_one_submission_takes_are_refused(tmp_path: Path, settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "MAX_BULK": 3}
    assert "has 4 tasks; at most 3" in refused(written(tmp_path, diamond_1_5()))


# -- waiting -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def workflow(transactional_db: None, tmp_path: Path) -> Workflow:
    imported(written(tmp_path, diamond_1_5()), "--time-scale", "0")
    return Workflow.objects.get()


def run_all(hand: Hand, *, fails: str = "") -> None:
    while ids := [row[0] for row in hand.connection.execute("SELECT job_id FROM jobs_ready").fetchall()]:
        for job in hand.claim(ids):
            if job.task == fails:
                hand.end(dead(job))
            else:
                hand.complete(job)


def wait_behind(work: Callable[[], None], workflow: Workflow) -> Workflow:
    """`work` begins when the wait has looked once and found the workflow running."""
    began: list[threading.Thread] = []

    def seen(_: Workflow) -> None:
        if not began:
            began.append(threading.Thread(target=work))
            began[0].start()

    try:
        return waiting.wait_for(workflow.pk, timeout=20, seen=seen)
    finally:
        began[0].join()


def test_waiting_ends_when_the_workflow_does(workflow: Workflow) -> None:
    hand = Hand()
    ended = wait_behind(lambda: run_all(hand), workflow)
    hand.close()
    assert (ended.state, ended.completed) == ("completed", 4)
    assert waiting.failures(ended) == []


def test_a_failure_is_named(workflow: Workflow) -> None:
    hand = Hand()
    ended = wait_behind(lambda: run_all(hand, fails="b"), workflow)
    hand.close()
    assert ended.state == "failed"
    (line,) = waiting.failures(ended)
    assert line.startswith("b (job ")
    assert line.endswith("Boom: boom")


def test_waiting_has_an_end_of_its_own(workflow: Workflow) -> None:
    with pytest.raises(waiting.WaitedTooLong):
        waiting.wait_for(workflow.pk, timeout=0.1)
    assert Workflow.objects.get().state == "running"


def test_waiting_survives_a_lost_connection(workflow: Workflow) -> None:
    hand = Hand()

    def cut_and_run() -> None:
        hand.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'opsched doorbell'"
        )
        run_all(hand)

    ended = wait_behind(cut_and_run, workflow)
    hand.close()
    connection.close()
    assert ended.state == "completed"


def command(tmp_path: Path, hand: Hand, *words: str, fails: str = "") -> str:
    """The command with a worker at its side."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            run_all(hand, fails=fails)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        return imported(written(tmp_path, diamond_1_5()), "--time-scale", "0", *words)
    finally:
        stop.set()
        thread.join()
        hand.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("word", ["--wait", "--watch"])
def test_the_command_waits_for_a_good_end(tmp_path: Path, word: str) -> None:
    told = command(tmp_path, Hand(), word)
    assert "completed: 4 of 4 jobs completed" in told


@pytest.mark.django_db(transaction=True)
def test_the_command_fails_with_the_workflow_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        command(tmp_path, Hand(), "--wait", fails="c")
    assert caught.value.returncode == 1
    assert "failed: 2 of 4 jobs completed" in str(caught.value)
    assert "1 dead, 0 cancelled or skipped, 1 not run" in str(caught.value)
    assert "c (job " in str(caught.value)


@pytest.mark.django_db
def test_a_wait_that_takes_too_long_says_that_the_workflow_goes_on(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"goes on") as caught:
        imported(written(tmp_path, diamond_1_5()), "--wait", "--timeout", "0.1")
    assert caught.value.returncode == 1
    assert json.loads((tmp_path / "workflow.json").read_text())["name"] == Workflow.objects.get().name
