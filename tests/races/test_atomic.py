"""Atomic handlers: their writes and the completion are one transaction, behind the fence."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

import jobs
from jobs.database import in_transaction
from jobs.errors import ConfigurationError
from jobs.models import Attempt, Claim, Job
from jobs.running import atomic
from jobs.store import workers
from jobs.submit import JobSpec
from notifications.models import Event
from notifications.pg import connect
from tests.jobs import kinds, kinds_atomic
from tests.jobs.conftest import Bench, register
from tests.races.harness import somebody_waits
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = """
    CREATE TABLE test_effect (job bigint NOT NULL, attempt int NOT NULL, wait_on bigint);
    CREATE FUNCTION test_effect_waits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(NEW.wait_on); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON test_effect DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.wait_on IS NOT NULL) EXECUTE FUNCTION test_effect_waits()
"""


@pytest.fixture
def bench(transactional_db: None) -> Iterator[Bench]:
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    kinds.GATE.clear()
    kinds_atomic.HOOKS.clear()
    kinds_atomic.CONNECTIONS.clear()
    made = Bench()
    yield made
    made.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE test_effect; DROP FUNCTION test_effect_waits()")


def ask(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def effects() -> list[tuple[int, int]]:
    return ask("SELECT job, attempt FROM test_effect ORDER BY 1, 2")


def test_effect_completion_and_event_are_of_one_transaction(bench: Bench) -> None:
    job = jobs.submit("atomic.write", {"result": [1]})
    done = bench.until(job.id, "completed")
    assert done.result == [1]
    (told,) = [row.pk for row in Event.objects.all() if any(item[0] == "job.completed" for item in row.items)]
    written = ask(
        "SELECT xmin::text FROM test_effect UNION SELECT xmin::text FROM jobs_job"
        f" UNION SELECT xmin::text FROM notifications_event WHERE id = {told}"
    )
    assert len(written) == 1
    eventually(lambda: bench.round() and bench.scheduler.held() == 0)
    assert not Claim.objects.exists()
    assert bench.scheduler.stats["completed"] == 1
    assert "lost" not in bench.scheduler.stats
    assert_consistent(connection.cursor(), at_rest=True)


def test_children_are_released_and_workflows_counted(bench: Bench) -> None:
    specs = [JobSpec(kind="atomic.write", key="a"), JobSpec(kind="atomic.write", key="b", parents=["a"])]
    workflow, (_, child) = jobs.submit_workflow("pair", specs)
    bench.until(child.id, "completed")
    assert ask(f"SELECT state, completed FROM jobs_workflow WHERE id = {workflow}") == [("completed", 2)]
    eventually(lambda: bench.round() and bench.scheduler.held() == 0)
    assert_consistent(connection.cursor(), at_rest=True)


@pytest.mark.parametrize(
    ("how", "state", "error_class"),
    [
        ("raise", "retryable", "ValueError"),
        ("retry", "retryable", "Retry"),
        ("snooze", "scheduled", ""),
        ("discard", "discarded", ""),
        ("cancel", "cancelled", ""),
        ("permanent", "dead", "PermanentError"),
        ("unkeepable", "dead", "InvalidResult"),
        ("rolled back", "retryable", "RolledBack"),
        ("closed", "retryable", "RolledBack"),
        ("late", "retryable", "JobTimeout"),
        ("deadlock", "retryable", "InternalError"),
        ("serialization", "retryable", "InternalError"),
    ],
)
def test_whatever_is_not_a_completion_undoes_the_writes(
    bench: Bench, how: str, state: str, error_class: str
) -> None:
    job = jobs.submit("atomic.answer", {"how": how})
    bench.until(job.id, state)
    assert effects() == []
    assert list(Attempt.objects.values_list("error_class", flat=True)) == [error_class]
    assert "completed" not in bench.scheduler.stats
    eventually(lambda: bench.round() and not Claim.objects.exists())
    assert_consistent(connection.cursor(), at_rest=True)


@pytest.mark.parametrize(
    ("how", "left"),
    [
        ("commit", 1),
        ("commit and go on", 1),
        ("commit and chain", 1),
        ("commit by the driver", 1),
        ("commit and fail", 1),
        ("commit and retry", 1),
        ("roll back", 0),
    ],
)
def test_a_handler_that_ends_its_transaction_itself_is_found_out(bench: Bench, how: str, left: int) -> None:
    """What it has committed stays; so it is not tried again, and nobody is told that the job completed."""
    job = jobs.submit("atomic.answer", {"how": how})
    bench.until(job.id, "dead")
    assert len(effects()) == left
    (attempt,) = Attempt.objects.all()
    assert (attempt.outcome, attempt.error_class) == ("failed", "TransactionEnded")
    assert "COMMIT or ROLLBACK" in attempt.message
    assert "completed" not in bench.scheduler.stats
    assert_consistent(connection.cursor())


def test_savepoints_of_the_handlers_own_are_no_end(bench: Bench) -> None:
    job = jobs.submit("atomic.answer", {"how": "savepoint"})
    bench.until(job.id, "completed")
    assert effects() == [(job.id, 1)]


def test_unless_it_is_looked_for_half_of_a_transaction_passes_for_the_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: effect and completion are of two transactions, and the job says it completed."""
    monkeypatch.setattr(atomic._Attempt, "check_whole", lambda _: None)
    job = jobs.submit("atomic.answer", {"how": "commit and go on"})
    bench.until(job.id, "completed")
    written = ask("SELECT xmin::text FROM test_effect UNION SELECT xmin::text FROM jobs_job")
    assert len(written) == 2


@pytest.mark.parametrize(
    ("kind", "left"), [("atomic.gated", [2]), ("careless.gated", [1, 2])], ids=["atomic", "control"]
)
def test_who_was_presumed_dead_leaves_no_effect(bench: Bench, kind: str, left: list[int]) -> None:
    """The control commits its writes on its own, and the fence comes too late for them."""
    job = jobs.submit(kind)
    bench.until(job.id, "running")
    in_transaction(
        bench.connection,
        lambda cursor: cursor.execute(
            "UPDATE jobs_workerprocess SET state = 'lost' WHERE id = %s", [bench.worker_id]
        ),
    )
    assert in_transaction(bench.connection, workers.rescue_orphans) == 1
    kinds.GATE.set()

    def refused() -> bool:
        bench.scheduler.draining = True
        bench.round()
        return bench.scheduler.stats["lost"] == 1

    eventually(refused)
    bench.scheduler.draining = False
    bench.scheduler.start_anew(register(bench.connection, name="anew"))
    bench.until(job.id, "completed")
    assert [attempt for _, attempt in effects()] == left
    assert_consistent(connection.cursor())


def test_cut_off_inside_the_commit_the_attempt_failed_and_runs_again(bench: Bench) -> None:
    with connect(name="test holder") as holder, holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(4712)")
        job = jobs.submit("atomic.write", {"wait_on": 4712})
        bench.until(job.id, "running")
        eventually(somebody_waits)
        holder.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
    bench.until(job.id, "completed")
    assert effects() == [(job.id, 2)]
    assert list(Attempt.objects.values_list("number", "outcome")) == [(1, "failed")]
    assert bench.scheduler.stats["lost"] == 0
    assert_consistent(connection.cursor())


def test_a_commit_that_the_server_has_not_finished_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is cut off while its server is inside COMMIT: until that ends nobody knows, so the question waits."""
    asked: list[bool] = []
    real = atomic._ask

    def ask_and_tell(job: Any) -> bool:
        asked.append(False)
        asked[-1] = real(job)
        return asked[-1]

    monkeypatch.setattr(atomic, "_ask", ask_and_tell)
    with connect(name="test holder") as holder:
        with holder.transaction():
            holder.execute("SELECT pg_advisory_xact_lock(4713)")
            job = jobs.submit("atomic.write", {"wait_on": 4713})
            bench.until(job.id, "running")
            eventually(somebody_waits)
            cut_the_client_of(holder)
            eventually(lambda: asked, timeout=10)
            assert Job.objects.get().state == "running"
            assert not any(asked)
        bench.until(job.id, "completed")
    eventually(lambda: any(asked))
    assert effects() == [(job.id, 1)]
    assert not Attempt.objects.exists()


def cut_the_client_of(holder: Any) -> None:
    """Shut the socket of the handler's connection, from the client's side; its server goes on."""
    waiting = holder.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall()
    assert len(waiting) == 1
    for made in kinds_atomic.CONNECTIONS:
        if not made.closed and made.info.backend_pid == waiting[0][0]:
            with socket.socket(fileno=os.dup(made.fileno())) as end:
                end.shutdown(socket.SHUT_RD)


def test_hooks_run_after_the_commit(bench: Bench) -> None:
    job = jobs.submit("atomic.hooks")
    bench.until(job.id, "completed")
    eventually(lambda: kinds_atomic.HOOKS == ["outer", "inner"])


def test_a_hook_that_fails_does_not_undo_what_is_committed(bench: Bench) -> None:
    job = jobs.submit("atomic.hooks", {"fails": True})
    bench.until(job.id, "completed")
    eventually(lambda: bench.round() and bench.scheduler.stats["completed"] == 1)
    assert effects() == [(job.id, 1)]
    assert not Attempt.objects.exists()
    assert any("hook" in report[4] for report in bench.executor.reports())


def test_an_async_handler_cannot_be_atomic() -> None:
    with pytest.raises(ConfigurationError, match="sync handler"):

        @jobs.job("atomic.async", atomic=True)
        async def handler(ctx: Any, payload: Any) -> None: ...
