"""Effects on the same database happen exactly once, wherever the worker is killed or its connection is cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

import jobs
from jobs.models import Attempt, Claim, Effect, Job, WorkerProcess
from jobs.submit import JobSpec, submit_many
from notifications.pg import connect
from tests.crash import kinds_atomic  # noqa: F401 - registers the kinds
from tests.crash.harness import Program, Start, lost_count, states
from tests.crash.proxy import LosingProxy
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SETTINGS = "tests.crash.settings_short_lease"
KINDS = {"OPSCHED_HANDLER_MODULES": "tests.crash.kinds_atomic"}
# Waits inside COMMIT itself, after the completion was written and before anything is durable.
TABLE = """
    CREATE TABLE test_effect (job bigint NOT NULL, attempt int NOT NULL, wait_on bigint);
    CREATE FUNCTION test_effect_waits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(NEW.wait_on); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON test_effect DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.wait_on IS NOT NULL) EXECUTE FUNCTION test_effect_waits()
"""
STEPS = ("before the write", "after the write", "after the commit")


@pytest.fixture(autouse=True)
def _table(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE test_effect; DROP FUNCTION test_effect_waits()")


@pytest.fixture
def holder() -> Iterator[psycopg.Connection[Any]]:
    """A connection that holds what a worker shall wait for."""
    with connect(name="test holder") as made:
        yield made


def effects() -> dict[int, list[int]]:
    """The attempts that left an effect, by job."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT job, array_agg(attempt ORDER BY attempt) FROM test_effect GROUP BY job")
        return dict(cursor.fetchall())


def waiting() -> int:
    """How many connections wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        (count,) = cursor.fetchone()
    return int(count)


def kill_runner(job: int) -> None:
    """SIGKILL for the process that runs the job."""
    number = Job.objects.get(pk=job).worker_id
    assert number is not None
    worker = WorkerProcess.objects.get(pk=number)
    os.kill(worker.pid, signal.SIGKILL)


def kills(supervisor: Program) -> int:
    """How many of its processes ended by SIGKILL and were replaced."""
    return supervisor.text.count("ended with -9; starting another")


def attempts(steps: dict[str, int]) -> dict[str, int]:
    """The last attempt of each step's job."""
    return {step: Job.objects.get(pk=job).attempt for step, job in steps.items()}


def kill_at_each_step(worker: Start, kind: str) -> dict[str, int]:
    """One job a step, each of which kills its process once; two processes, started again. Job ids by step."""
    specs = [JobSpec(kind=kind, payload={"die": step}) for step in STEPS]
    made = submit_many(specs)
    supervisor = worker("--processes", "2", "--concurrency", "1", settings=SETTINGS, **KINDS)
    eventually(lambda: states() == {"completed": len(STEPS)}, timeout=40)
    eventually(lambda: kills(supervisor) == len(STEPS))
    return {step: job.id for step, job in zip(STEPS, made, strict=True)}


def test_killed_at_every_step_of_an_atomic_handler_the_effect_is_there_once(worker: Start) -> None:
    killed = kill_at_each_step(worker, "test.effect")
    found = effects()
    assert {step: len(found[job]) for step, job in killed.items()} == dict.fromkeys(STEPS, 1)
    last = attempts(killed)
    for step, job in killed.items():
        assert found[job] == [last[step]], "the effect is of the attempt that is recorded"
    assert min(last["before the write"], last["after the write"]) >= 2, "the first one was killed"
    assert last["after the commit"] == 1
    assert_consistent(connection.cursor())


def test_the_same_kills_double_an_effect_whose_completion_comes_after_it(worker: Start) -> None:
    """The negative control: the handler's transaction is its own."""
    killed = kill_at_each_step(worker, "test.careless")
    assert {step: len(effects()[job]) for step, job in killed.items()} == {
        "before the write": 1,
        "after the write": 1,
        "after the commit": 2,
    }


def test_killed_between_completion_and_commit_or_inside_it_effect_and_completion_stay_together(
    worker: Start, holder: psycopg.Connection[Any]
) -> None:
    """One process waits for the workflow's row, with the completion written; another one inside COMMIT itself, which
    the server carries to its end though nobody is left to hear of it."""
    workflow, (written, child) = jobs.submit_workflow(
        "pair", [JobSpec(kind="test.effect", key="a"), JobSpec(kind="test.effect", key="b", parents=["a"])]
    )
    committing = jobs.submit("test.effect", {"wait_on": 4711}).id
    with holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(4711)")
        holder.execute("SELECT FROM jobs_workflow WHERE id = %s FOR UPDATE", [workflow])
        worker("--processes", "2", "--concurrency", "1", settings=SETTINGS, **KINDS)
        eventually(lambda: waiting() == 2, timeout=20)
        for job in (written.id, committing):
            kill_runner(job)
        assert not effects()
    eventually(lambda: states() == {"completed": 3}, timeout=40)
    eventually(lambda: not Claim.objects.exists(), timeout=20)
    assert effects() == {written.id: [2], child.id: [1], committing: [1]}
    assert list(Attempt.objects.values_list("job_id", "number", "outcome")) == [(written.id, 1, "lost")]
    assert_consistent(connection.cursor())


def test_the_answer_to_a_commit_is_lost_after_the_server_did_it(worker: Start, tmp_path: Path) -> None:
    """The database is asked whether it happened, instead of assuming that it did not."""
    settings = connection.settings_dict
    folder = tmp_path / "s"
    folder.mkdir()
    proxy = LosingProxy(folder, settings["HOST"], marker=b"test_effect")
    url = f"postgresql://{settings['USER']}@/{settings['NAME']}?host={folder}"
    try:
        job = jobs.submit("test.effect").id
        running = worker("--concurrency", "1", settings=SETTINGS, DATABASE_URL=url, **KINDS)
        eventually(lambda: states() == {"completed": 1}, timeout=30)
        eventually(lambda: not Claim.objects.exists())
        assert proxy.lost.is_set()
        assert effects() == {job: [1]}
        assert not Attempt.objects.exists()
        assert lost_count() == 0
        assert_consistent(connection.cursor())
        running.kill()
    finally:
        proxy.close()


def test_an_effect_outside_is_repeated_only_where_its_worker_died_before_the_record(
    worker: Start, tmp_path: Path
) -> None:
    """The lock on the key ends with the process, so the next attempt need not wait for anything."""
    steps = ("before the record", "after the record")
    specs = [JobSpec(kind="test.once", payload={"die": step, "file": str(tmp_path / step)}) for step in steps]
    before, after = submit_many(specs)
    supervisor = worker("--processes", "2", "--concurrency", "1", settings=SETTINGS, **KINDS)
    eventually(lambda: states() == {"completed": 2}, timeout=40)
    lines = {step: [int(line) for line in (tmp_path / step).read_text().split()] for step in steps}
    assert lines["after the record"] == [1]
    assert Job.objects.get(pk=after.id).result == 1
    assert lines["before the record"] == [1, Job.objects.get(pk=before.id).result]
    assert Effect.objects.count() == 2
    assert min(attempts({"before": before.id, "after": after.id}).values()) >= 2, (
        "both first ones were killed"
    )
    eventually(lambda: kills(supervisor) == 2)


def test_a_process_frozen_between_completion_and_commit_keeps_nobody_from_its_job(
    worker: Start, holder: psycopg.Connection[Any]
) -> None:
    """The server ends the transaction, another worker takes the job, and what wakes up again is refused."""
    workflow, (job,) = jobs.submit_workflow("one", [JobSpec(kind="test.effect", key="a")])
    with holder.transaction():
        holder.execute("SELECT FROM jobs_workflow WHERE id = %s FOR UPDATE", [workflow])
        frozen = worker("--concurrency", "1", settings=SETTINGS, **KINDS)
        eventually(waiting, timeout=20)
        frozen.send(signal.SIGSTOP)
    worker("--concurrency", "1", settings=SETTINGS, **KINDS)
    eventually(lambda: states() == {"completed": 1}, timeout=30)
    assert effects() == {job.id: [2]}
    frozen.send(signal.SIGCONT)
    eventually(lambda: WorkerProcess.objects.filter(state="live").count() == 2, timeout=20)
    assert effects() == {job.id: [2]}
    assert_consistent(connection.cursor())
