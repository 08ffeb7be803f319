"""One transaction, piped or not: all of it or nothing, again after a deadlock, and a connection that goes on."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from jobs import database
from jobs.database import in_transaction, open_connection
from jobs.models import Queue

pytestmark = pytest.mark.django_db(transaction=True)

both = pytest.mark.parametrize("piped", [True, False], ids=["piped", "plain"])


@pytest.fixture
def own(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with open_connection("test database") as connection:
        yield connection


def add(cursor: Any, name: str) -> None:
    cursor.execute("INSERT INTO jobs_queue (name, description) VALUES (%(name)s, '')", {"name": name})


def queues() -> list[str]:
    return sorted(Queue.objects.values_list("name", flat=True))


@both
def test_what_succeeds_is_committed_and_its_result_comes_back(
    own: psycopg.Connection[Any], piped: bool
) -> None:
    def work(cursor: Any) -> list[Any]:
        add(cursor, "a")
        cursor.execute("SELECT name FROM jobs_queue")
        found = cursor.fetchall()
        add(cursor, "b")
        return list(found)

    assert in_transaction(own, work, piped=piped) == [("a",)]
    assert queues() == ["a", "b"]
    assert own.info.transaction_status is TransactionStatus.IDLE


@both
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_error_anywhere_leaves_nothing_behind(
    own: psycopg.Connection[Any], piped: bool, place: str
) -> None:
    """Also in a statement whose answer nobody reads before the commit is sent."""

    def work(cursor: Any) -> None:
        if place == "first":
            add(cursor, "x" * 101)
        add(cursor, "a")
        if place == "last":
            add(cursor, "x" * 101)

    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        in_transaction(own, work, piped=piped)
    assert queues() == []
    in_transaction(own, lambda cursor: add(cursor, "afterwards"), piped=piped)
    assert queues() == ["afterwards"]


@both
def test_an_error_of_the_callers_own_leaves_nothing_behind(own: psycopg.Connection[Any], piped: bool) -> None:
    def work(cursor: Any) -> None:
        add(cursor, "a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_transaction(own, work, piped=piped)
    assert queues() == []
    assert own.info.transaction_status is TransactionStatus.IDLE


@both
def test_a_deadlock_is_run_again_from_the_start(own: psycopg.Connection[Any], piped: bool) -> None:
    tries: list[int] = []

    def work(cursor: Any) -> None:
        tries.append(len(tries))
        add(cursor, f"try {len(tries)}")
        if len(tries) < 3:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'a cycle' USING ERRCODE = '40P01'; END $$")

    in_transaction(own, work, piped=piped)
    assert queues() == ["try 3"]


def ask_late(own: psycopg.Connection[Any]) -> list[Any]:
    """Two statements; the first one's answer is there, but not read, when the second is sent."""

    def work(cursor: Any) -> list[Any]:
        add(cursor, "a")
        own.pgconn.send_flush_request()
        own.pgconn.flush()
        assert select.select([own.fileno()], [], [], 10.0)[0]
        cursor.execute("SELECT name FROM jobs_queue")
        return list(cursor.fetchall())

    return in_transaction(own, work, piped=True)


def test_an_answer_that_comes_late_is_not_taken_for_the_next_ones(own: psycopg.Connection[Any]) -> None:
    assert ask_late(own) == [("a",)]
    assert queues() == ["a"]


def test_with_one_cursor_for_all_it_is(own: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what ended worker processes on a busy machine."""
    monkeypatch.setattr(database, "PipedCursor", lambda connection: connection.cursor())
    with pytest.raises(psycopg.ProgrammingError, match="didn't produce records"):
        ask_late(own)
    assert queues() == []
    assert own.info.transaction_status is TransactionStatus.IDLE


@both
def test_a_type_that_a_migration_changed_costs_the_connection(
    own: psycopg.Connection[Any], piped: bool
) -> None:
    """To the worker it is a connection that was lost: it makes another, on which everything is prepared anew."""

    def work(cursor: Any) -> list[Any]:
        cursor.execute("SELECT description FROM jobs_queue", prepare=True)
        return list(cursor.fetchall())

    dsn = own.info.dsn
    in_transaction(own, lambda cursor: add(cursor, "a"))
    assert in_transaction(own, work, piped=piped) == [("",)]
    with psycopg.connect(dsn) as other:
        other.execute("ALTER TABLE jobs_queue ALTER description TYPE varchar(501)")
    try:
        with pytest.raises(psycopg.OperationalError, match="result type"):
            in_transaction(own, work, piped=piped)
        assert own.closed
        with open_connection("test database anew") as another:
            assert in_transaction(another, work, piped=piped) == [("",)]
    finally:
        with psycopg.connect(dsn) as other:
            other.execute("ALTER TABLE jobs_queue ALTER description TYPE varchar(500)")
