"""Commits of which nobody heard: the worker asks the database, so that nothing is lost and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

import jobs
from jobs import JobSpec, recording
from jobs.database import open_connection
from jobs.models import Attempt, Claim, Job
from jobs.store import workers
from jobs.store.claiming import claim
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, state_of, told
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _tables_agree(transactional_db: None) -> Iterator[None]:
    yield
    consistent()


def kill(own: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])


def break_once(
    monkeypatch: pytest.MonkeyPatch, *, after_commit: bool, when: Callable[[Any], bool]
) -> list[bool]:
    """The connection dies with the first transaction that does what `when` says: before its commit, or after it.

    After it means: the database has committed, and the answer never arrives.
    """
    real = vars(recording)["in_transaction"]
    broken: list[bool] = []

    def breaking(own: psycopg.Connection[Any], work: Callable[[Any], Any], **how: bool) -> Any:
        def then(cursor: Any) -> Any:
            result = work(cursor)
            if not broken and not after_commit and when(result):
                broken.append(True)
                kill(own)
            return result

        result = real(own, then, **how)
        if not broken and after_commit and when(result):
            broken.append(True)
            kill(own)
            own.execute("SELECT 1")  # raises what a lost answer raises
        return result

    monkeypatch.setattr(recording, "in_transaction", breaking)
    return broken


def claims(result: Any) -> bool:
    return isinstance(result, tuple) and bool(result[2].jobs)


def completes(result: Any) -> bool:
    return isinstance(result, tuple) and bool(result[0].recorded)


def does_both(result: Any) -> bool:
    return claims(result) and completes(result)


def rounds(bench: Bench) -> None:
    """One round; a lost connection is what the worker's main loop makes of it."""
    try:
        bench.round()
    except psycopg.OperationalError:
        bench.scheduler.close()


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("when", [claims, completes, does_both])
@pytest.mark.parametrize("kind", ["test.echo", "test.answer"])
def test_a_commit_of_which_nobody_heard_loses_nothing_and_does_nothing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after_commit: bool, when: Any, kind: str
) -> None:
    bench.close()
    one = Bench(concurrency=1)
    try:
        payload = {"how": "boom"} if kind == "test.answer" else {}
        specs = [JobSpec(kind=kind, payload=payload, max_attempts=1) for _ in range(8)]
        placed = [submitted.id for submitted in jobs.submit_many(specs)]
        broken = break_once(monkeypatch, after_commit=after_commit, when=when)
        wanted = "dead" if kind == "test.answer" else "completed"

        def all_ended() -> bool:
            rounds(one)
            return not Job.objects.exclude(state=wanted).exists()

        eventually(all_ended)
        assert broken
        rounds(one)
        assert one.scheduler.held() == 0
    finally:
        one.close()
    ends = [item[2]["job"] for item in told(f"job.{wanted}")]
    assert sorted(ends) == placed
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    assert Attempt.objects.count() == (len(placed) if wanted == "dead" else 0)
    assert not Claim.objects.exists()


def test_a_job_whose_claim_was_doubtful_is_not_overtaken_while_it_goes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round that gives it back knows of worse ones only."""
    bench.close()
    one = Bench(concurrency=1)
    try:
        better = jobs.submit("test.echo", priority=1).id
        worse = jobs.submit("test.echo").id
        broken = break_once(monkeypatch, after_commit=True, when=claims)

        def all_ended() -> bool:
            rounds(one)
            return not Job.objects.exclude(state="completed").exists()

        eventually(all_ended)
        assert broken
        assert list(Job.objects.order_by("started_at").values_list("pk", flat=True)) == [better, worse]
    finally:
        one.close()


def test_a_doubtful_return_is_no_reason_to_wait_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.executor.stop()  # what is claimed stays unbegun
    jobs.submit("test.echo")
    rounds(bench)
    bench.scheduler.give_back(bench.executor.take_back(), "nobody begins it")
    broken = break_once(monkeypatch, after_commit=True, when=completes)
    rounds(bench)
    assert (broken, bench.scheduler.held()) == ([True], 1)

    def claimed_again() -> bool:
        rounds(bench)
        return bool(bench.scheduler.held()) and bench.executor.unstarted() == 1

    eventually(claimed_again)
    bench.scheduler.give_back(bench.executor.take_back(), "the end")
    rounds(bench)


def test_without_asking_the_database_a_claim_of_which_nobody_heard_would_run_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the worker lives, so nobody rescues what it does not know it holds."""
    job_id = jobs.submit("test.echo").id
    assert break_once(monkeypatch, after_commit=True, when=claims) == []
    monkeypatch.setattr(bench.scheduler._recorder, "settle", list)
    for _ in range(5):
        rounds(bench)
    assert state_of(job_id) == "running"
    assert bench.scheduler.held() == 0
    monkeypatch.undo()
    bench.until(job_id, "completed")


@pytest.fixture
def still_committing(bench: Bench) -> Iterator[tuple[int, psycopg.Cursor[Any]]]:
    """The worker lost its connection while claiming, and the server has the claim and has not committed it yet."""
    job_id = jobs.submit("test.echo").id
    own = open_connection(workers.session_name(bench.worker_id))
    cursor = own.cursor()
    cursor.execute("BEGIN")
    assert claim(cursor, worker_id=bench.worker_id, candidates=[job_id], limit=1).jobs
    bench.scheduler._recorder._uncertain = True
    yield job_id, cursor
    own.close()


def test_a_claim_that_the_server_still_holds_is_undone_before_anybody_asks(
    bench: Bench, still_committing: tuple[int, psycopg.Cursor[Any]]
) -> None:
    job_id, cursor = still_committing
    done = bench.until(job_id, "completed")
    assert done.attempt == 1
    with pytest.raises(psycopg.OperationalError):
        cursor.execute("COMMIT")
    eventually(lambda: bench.round() and not Claim.objects.exists())


def test_otherwise_it_commits_after_the_question_and_runs_for_ever(
    bench: Bench, still_committing: tuple[int, psycopg.Cursor[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    job_id, cursor = still_committing
    monkeypatch.setattr(recording, "end_sessions", lambda *_: 0)
    rounds(bench)
    cursor.execute("COMMIT")
    for _ in range(5):
        rounds(bench)
    assert (state_of(job_id), bench.scheduler.held()) == ("running", 0)


def test_a_server_that_is_not_through_is_asked_again_later(
    bench: Bench, still_committing: tuple[int, psycopg.Cursor[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 0.0)
    monkeypatch.setattr(recording, "end_sessions", lambda *_: 1)
    with pytest.raises(psycopg.OperationalError, match="doubtful commit"):
        bench.round()
    monkeypatch.undo()
    bench.scheduler.close()
    bench.until(still_committing[0], "completed")
