"""The cursor of a single submission: what the driver's own would do, whatever has become of the connection."""

from __future__ import annotations

import importlib
import signal
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

import psycopg
import pytest
from django import db
from django.db import connection, transaction
from psycopg.pq import ExecStatus

import jobs
from jobs.lean import LeanCursor, _prepared, is_lean
from jobs.models import Job, Queue
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.races.harness import somebody_waits
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _queue() -> None:
    Queue.objects.create(name="default")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that went this way."""
    told: list[str] = []
    real = LeanCursor.execute

    def execute(self: LeanCursor, query: Any, params: Any = None) -> None:
        told.append(query)
        real(self, query, params)

    monkeypatch.setattr(LeanCursor, "execute", execute)
    return told


@pytest.fixture
def table() -> Callable[..., list[Any]]:
    """run("SELECT …", name=value): rows by this cursor."""

    def run(query: str, **params: Any) -> list[Any]:
        assert is_lean(connection)
        with LeanCursor(connection) as cursor:
            cursor.execute(query, params)
            return cursor.fetchall()

    return run


def test_a_submission_alone_goes_this_way(runs: list[str]) -> None:
    job_id = jobs.submit("test.echo").id
    assert isinstance(job_id, int)
    assert len(runs) == 1
    assert Job.objects.get().pk == job_id


def test_one_in_a_transaction_does_not(runs: list[str]) -> None:
    """Its savepoint and its end are the driver's and Django's matter."""
    with transaction.atomic():
        assert not is_lean(connection)
        jobs.submit("test.echo")
    assert runs == []


def test_one_without_autocommit_does_not(runs: list[str]) -> None:
    """The driver would begin no transaction for it, and it could not be rolled back."""
    transaction.set_autocommit(False)
    try:
        assert not is_lean(connection)
        jobs.submit("test.echo")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert runs == []
    assert not Job.objects.exists()


def test_one_in_a_pipe_does_not(runs: list[str]) -> None:
    connection.ensure_connection()
    with connection.connection.pipeline():
        assert not is_lean(connection)


def test_nothing_is_prepared_where_that_is_forbidden(runs: list[str], settings: Any) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "PREPARE_STATEMENTS": False}
    jobs.submit("test.echo")
    assert runs == []
    assert Job.objects.count() == 1


def test_values_and_rows_are_text(table: Callable[..., list[Any]]) -> None:
    odd = "quotes ' \" \\ % %% $1 %(a)s ü \N{PILE OF POO}"
    assert table("SELECT %(a)s::text, %(b)s::int + 1, %(c)s::text, %(a)s::text", a=odd, b=7, c=None) == [
        (odd, "8", None, odd)
    ]
    assert table("SELECT 1 WHERE false") == []
    assert table("SELECT generate_series(1, 3)") == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize(("value", "error"), [("a\0b", db.DataError), (True, TypeError), (1.5, TypeError)])
def test_a_value_that_would_become_another_is_refused(
    table: Callable[..., list[Any]], value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        table("SELECT %(a)s::text", a=value)
    assert table("SELECT 1") == [("1",)]


def test_an_error_is_djangos_and_the_connection_goes_on(table: Callable[..., list[Any]]) -> None:
    with pytest.raises(db.DataError, match="division by zero") as caught:
        table("SELECT 1 / %(a)s::int", a=0)
    assert isinstance(caught.value.__cause__, psycopg.errors.DivisionByZero)
    with pytest.raises(db.ProgrammingError, match="no_such_table"):
        table("SELECT * FROM no_such_table")
    assert table("SELECT 1 / %(a)s::int", a=1) == [("1",)]


@pytest.mark.parametrize("word", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_statement_that_somebody_has_dropped_is_prepared_anew(runs: list[str], word: str) -> None:
    jobs.submit("test.echo")
    with connection.cursor() as cursor:
        cursor.execute(word)
    jobs.submit("test.echo")
    assert len(runs) == 2
    assert Job.objects.count() == 2


def test_a_connection_that_was_cut_is_djangos_error_and_its_successor_works(runs: list[str]) -> None:
    jobs.submit("test.echo")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(db.OperationalError):
        jobs.submit("test.echo")
    connection.close_if_unusable_or_obsolete()
    jobs.submit("test.echo")
    assert len(runs) == 3
    assert Job.objects.count() == 2


def test_it_waits_for_a_lock_and_hears_of_its_end(table: Callable[..., list[Any]]) -> None:
    """The wait is the driver's: other threads run meanwhile."""
    with psycopg.connect(connection.connection.info.dsn) as other:
        other.execute("LOCK TABLE jobs_queue")

        def let_go() -> None:
            eventually(_seen_waiting)
            other.rollback()

        releaser = threading.Thread(target=let_go)
        releaser.start()
        assert table("SELECT name FROM jobs_queue WHERE name = %(name)s", name="default") == [("default",)]
        releaser.join()


def _seen_waiting() -> bool:
    try:
        return somebody_waits()
    finally:
        connection.close()


def test_an_interrupt_cancels_the_statement(table: Callable[..., list[Any]]) -> None:
    dsn = connection.connection.info.dsn

    def interrupt() -> None:
        with psycopg.connect(dsn, autocommit=True) as other:
            sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%(30)::text'"
            eventually(lambda: other.execute(sleeps).fetchone() == (1,))
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    began = time.monotonic()
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        table("SELECT pg_sleep(30)::text")
    thread.join()
    assert time.monotonic() - began < 15
    assert table("SELECT 1") == [("1",)]


def test_an_interrupt_while_it_is_prepared_leaves_the_connection_usable(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the statement then, under a name of which nobody knows."""
    real = LeanCursor._answer
    struck: list[bool] = []

    def answer(self: LeanCursor, expected: ExecStatus) -> Any:
        result = real(self, expected)
        if expected == ExecStatus.COMMAND_OK and not struck:
            struck.append(True)
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(LeanCursor, "_answer", answer)
    _prepared.clear()
    with pytest.raises(KeyboardInterrupt):
        jobs.submit("test.echo")
    jobs.submit("test.echo")
    jobs.submit("test.echo")
    assert len(runs) == 3
    assert Job.objects.count() == 2


def test_a_type_that_a_migration_changed_is_learnt_anew(table: Callable[..., list[Any]]) -> None:
    query = "SELECT description FROM jobs_queue"
    table(query)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_queue ALTER description TYPE varchar(501)")
    try:
        assert table(query) == [("",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_queue ALTER description TYPE varchar(500)")


def test_a_health_check_is_made_before_it(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With CONN_HEALTH_CHECKS the first statement of a request finds out that the database has begun anew."""
    jobs.submit("test.echo")
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    wrapper = transaction.get_connection()
    monkeypatch.setattr(wrapper, "health_check_enabled", True)
    monkeypatch.setattr(wrapper, "health_check_done", False)
    jobs.submit("test.echo")
    assert len(runs) == 2
    assert Job.objects.count() == 2


class Level(int, Enum):
    HIGH = 9


class Line(str, Enum):  # noqa: UP042 - what others have
    MAIL = "default"


def test_members_of_enums_are_their_values(runs: list[str]) -> None:
    jobs.submit("test.echo", priority=Level.HIGH, queue=Line.MAIL)
    assert len(runs) == 1
    assert Job.objects.values_list("priority", "queue").get() == (9, "default")


def test_a_text_that_the_driver_would_read_otherwise_is_refused(table: Callable[..., list[Any]]) -> None:
    with pytest.raises(ValueError, match="percent"):
        table("SELECT 5 %% 3")


def test_what_was_submitted_can_stand_in_a_set() -> None:
    first, second = jobs.submit_many([jobs.JobSpec(kind="test.echo")] * 2)
    assert len({first, second, first}) == 2


def test_the_usual_way_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lean = jobs.submit("test.echo", {"a": 1}).id
    monkeypatch.setattr(importlib.import_module("jobs.submit"), "is_lean", lambda _: False)
    usual = jobs.submit("test.echo", {"a": 1}).id
    assert usual == lean + 1
    rows = Job.objects.values_list("kind", "queue", "state", "payload", "options", "priority", "max_attempts")
    assert rows.get(pk=lean) == rows.get(pk=usual)
