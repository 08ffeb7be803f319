"""Log lines in a transaction of whose commit nobody heard: they are written once, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import connection

import jobs
from jobs import maintenance
from jobs.maintenance import Reporter
from jobs.models import LogLine, LogLoss
from jobs.reconciling import until_ended
from jobs.store import telling, workers
from notifications.pg import connect
from tests.jobs.conftest import Bench
from tests.jobs.ground import told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reporter(bench: Bench) -> Iterator[Reporter]:
    made = Reporter(executor=bench.executor, on_death=lambda *_: None)
    made._keep = 20
    yield made
    made.stop()


@pytest.fixture
def job(bench: Bench) -> int:
    """It has said thirty lines, of which twenty are kept."""
    return bench.until(jobs.submit("test.talk", {"lines": 30}).id, "completed").pk


SAID = [f"line {number}\N{REPLACEMENT CHARACTER}" for number in range(30)]


def kept() -> list[str]:
    return list(LogLine.objects.order_by("pk").values_list("line", flat=True))


def say(bench: Bench, job: int, *words: str) -> None:
    for word in words:
        bench.executor._attempts.reports.append((job, 1, 0.0, "info", word))


def break_once(monkeypatch: pytest.MonkeyPatch, *, after_commit: bool) -> None:
    """The connection ends just before the next commit, or just after it."""
    real = vars(maintenance)["in_transaction"]

    def breaking(own: psycopg.Connection[Any], work: Any) -> Any:
        def then(cursor: Any) -> Any:
            result = work(cursor)
            if not after_commit:
                kill(own)
            return result

        monkeypatch.setattr(maintenance, "in_transaction", real)
        result = real(own, then)
        kill(own)
        own.execute("SELECT 1")  # raises what a lost answer raises
        return result

    monkeypatch.setattr(maintenance, "in_transaction", breaking)


def kill(own: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])


@pytest.mark.parametrize("after_commit", [False, True])
def test_what_is_in_doubt_is_written_once_and_before_what_is_said_meanwhile(
    bench: Bench, reporter: Reporter, job: int, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    break_once(monkeypatch, after_commit=after_commit)
    with pytest.raises(psycopg.OperationalError):
        reporter.tick()
    assert LogLine.objects.exists() is after_commit
    say(bench, job, "the last word")
    assert reporter.tick() == 32, "thirty lines and a word of progress; one line"
    assert reporter.tick() == 0
    assert kept() == [*SAID[11:], "the last word"]
    assert LogLoss.objects.get().over_limit == 11, "what went is counted once"
    shown = [line["line"] for _, _, payload in told("job.log") for line in payload["lines"]]
    assert shown == [*SAID[10:], "the last word"], "and told once"


def test_a_batch_that_is_in_doubt_again_is_still_written_once(
    bench: Bench, reporter: Reporter, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First its commit does not happen, then it does and nobody hears of it."""
    for after_commit in (False, True):
        break_once(monkeypatch, after_commit=after_commit)
        with pytest.raises(psycopg.OperationalError):
            reporter.tick()
    reporter.tick()
    assert kept() == SAID[10:]
    assert LogLoss.objects.get().over_limit == 10


def test_a_loop_that_is_stopped_in_doubt_asks_before_it_goes(
    reporter: Reporter, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_once(monkeypatch, after_commit=False)
    with pytest.raises(psycopg.OperationalError):
        reporter.tick()
    reporter.stop()
    assert kept() == SAID[10:]


@pytest.fixture
def still_committing(reporter: Reporter, job: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The reporter lost its connection, and the server has its lines and has not committed them yet."""
    own = connect(name=reporter.session)
    cursor = own.cursor()
    cursor.execute("BEGIN")

    def lost(_: Any, work: Any) -> None:
        work(cursor)
        raise psycopg.OperationalError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "in_transaction", lost)
        with pytest.raises(psycopg.OperationalError, match="no answer"):
            reporter.tick()
    assert kept() == []
    yield cursor
    own.close()


def test_what_the_server_still_holds_is_undone_before_anybody_asks(
    reporter: Reporter, still_committing: Any
) -> None:
    reporter.tick()
    with pytest.raises(psycopg.OperationalError):
        still_committing.execute("COMMIT")
    assert kept() == SAID[10:]


def test_otherwise_it_commits_after_the_question_and_the_lines_stand_twice(
    reporter: Reporter, still_committing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(workers, "end_sessions", lambda *_: 0)
    # What counts lost lines waits for the other to be through; what writes lines does not.
    monkeypatch.setattr(telling, "_count_lost", lambda *_: {})
    monkeypatch.setattr(maintenance, "write_progress", lambda *_: None)
    reporter.tick()
    still_committing.execute("COMMIT")
    assert kept() == SAID[10:] * 2


def test_while_the_server_is_not_through_the_batch_waits(
    bench: Bench, reporter: Reporter, job: int, still_committing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workers, "end_sessions", lambda *_: 1)
        patch.setattr(maintenance, "until_ended", lambda sessions: until_ended(sessions, patience=0.0))
        for word in ("meanwhile", "and later"):
            say(bench, job, word)
            with pytest.raises(psycopg.OperationalError, match="doubtful commit"):
                reporter.tick()
    assert kept() == []
    reporter.tick()
    assert kept() == [*SAID[12:], "meanwhile", "and later"]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_standby_has_no_say(
    reporter: Reporter, job: int, monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    """It may not have heard of the commit yet: it answers that nothing stands, and refuses to write.

    The negative control: a reporter that does not remember what was in doubt goes by that answer.
    """
    if not remembers:
        monkeypatch.setattr(maintenance, "replace", lambda batch, **_: replace(batch, marks=()))
    break_once(monkeypatch, after_commit=True)
    with pytest.raises(psycopg.OperationalError):
        reporter.tick()
    LogLine.objects.all().update(line="not heard of yet")
    reporter.connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reporter.tick()
    for line, said in zip(LogLine.objects.order_by("pk"), SAID[10:], strict=True):
        LogLine.objects.filter(pk=line.pk).update(line=said)
    reporter.connection.execute("SET default_transaction_read_only = off")
    reporter.tick()
    assert kept() == SAID[10:], "the newest twenty, whichever"
    assert (len(told("job.log")) == 1) is remembers


def test_no_two_reporters_end_each_others_sessions(bench: Bench, reporter: Reporter) -> None:
    other = Reporter(executor=bench.executor, on_death=lambda *_: None)
    assert other.session != reporter.session
    assert other.session.startswith("opsched report ")
