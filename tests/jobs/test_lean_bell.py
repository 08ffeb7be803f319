"""The doorbell that rides behind a submission: in a transaction of its own, once per interval, and never in its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django import db
from django.db import connection
from psycopg import generators

import jobs
from jobs import lean
from jobs.lean import LeanCursor, _prepared
from jobs.models import Job, Queue
from jobs.submit import WAKE
from notifications import doorbell
from notifications.doorbell import Bell
from tests.jobs import kinds  # noqa: F401 - registers the kinds

pytestmark = pytest.mark.django_db(transaction=True)

Heard = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bell]:
    """This process has not rung yet, nor prepared anything."""
    Queue.objects.create(name="test")
    one = Bell()
    monkeypatch.setitem(doorbell._process, "bell", one)
    _prepared.clear()
    yield one
    one.close()


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What was told of new work since, waiting for so many rings."""
    connection.ensure_connection()
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as ears:
        ears.execute(f"LISTEN {WAKE}")

        def told(count: int = 1, timeout: float = 5.0) -> list[str]:
            return [one.payload for one in ears.notifies(timeout=timeout, stop_after=count)]

        yield told


def test_a_submission_rings_by_itself(heard: Heard, bell: Bell) -> None:
    jobs.submit("test.echo")
    assert heard() == [""]
    assert bell._thread is None, "no thread has to be woken for it"


def test_the_second_within_the_interval_is_told_by_the_doorbell(heard: Heard, bell: Bell) -> None:
    jobs.submit("test.echo")
    jobs.submit("test.echo")
    assert heard(2) == ["", ""]
    assert bell._thread is not None
    assert heard(1, 0.2) == []


def test_the_ring_is_a_transaction_of_its_own_that_begins_when_the_job_is_there(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the job's own it would hold the lock of all NOTIFYs while that one waits for the disk."""
    by_number = (
        b"SELECT pg_notify($1, format('%s %s', pg_current_xact_id(), (SELECT max(id) FROM jobs_job)))::text"
    )
    monkeypatch.setattr(lean, "_BELL", by_number)
    job_id = jobs.submit("test.echo").id
    number, newest = heard()[0].split()
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM jobs_job WHERE id = %s", [job_id])
        (made_by,) = cursor.fetchone()
    assert int(newest) == job_id
    assert number != made_by


def test_a_ring_that_fails_is_the_doorbells(
    heard: Heard, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = b"SELECT 1 / (length($1) - " + str(len(WAKE)).encode() + b")"
    monkeypatch.setattr(lean, "_BELL", fails)
    assert Job.objects.filter(pk=jobs.submit("test.echo").id).exists()
    assert heard() == [""]
    assert bell._thread is not None
    assert fails not in _prepared[connection.connection], "it is prepared anew the next time"


def test_an_error_is_djangos_and_the_connection_goes_on() -> None:
    with LeanCursor(transaction_connection(), bell=WAKE) as cursor:
        with pytest.raises(db.DataError, match="division by zero"):
            cursor.execute("SELECT 1 / %(a)s::int", {"a": 0})
        cursor.execute("SELECT 1 / %(a)s::int", {"a": 1})
        assert cursor.fetchall() == [("1",)]
    assert jobs.submit("test.echo").id == Job.objects.get().pk


def test_a_ring_behind_a_statement_that_had_to_be_repeated_does_not_count(heard: Heard) -> None:
    """It rang before the work was there: somebody who looked then has seen nothing."""
    query = "SELECT description FROM jobs_queue"
    with LeanCursor(transaction_connection()) as cursor:
        cursor.execute(query)
    change = "ALTER TABLE jobs_queue ALTER description TYPE varchar(%s)"
    with connection.cursor() as plain:
        plain.execute(change, [501])
    try:
        with LeanCursor(transaction_connection(), bell=WAKE) as cursor:
            cursor.execute(query)
        assert heard() == [""]
        assert cursor.fetchall() == [("",)]
        assert not cursor.rang
    finally:
        with connection.cursor() as plain:
            plain.execute(change, [500])


def test_an_interrupt_between_the_answers_leaves_none_for_the_next_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection is given up: what is still on its way there belongs to nobody."""

    def half(low: Any) -> Any:
        yield from generators.send(low)
        yield from generators.fetch_many(low)
        raise KeyboardInterrupt

    monkeypatch.setattr(lean, "_two_answers", half)
    with pytest.raises(KeyboardInterrupt):
        jobs.submit("test.echo")
    assert connection.connection.closed
    connection.close_if_unusable_or_obsolete()
    monkeypatch.undo()
    second = jobs.submit("test.echo").id
    assert Job.objects.count() == 2
    assert Job.objects.filter(pk=second).exists()


def test_a_connection_that_is_cut_in_the_middle_is_djangos_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the job is there is unknown then, as with any statement."""
    ends = b"SELECT pg_terminate_backend(pg_backend_pid())::text || $1"
    monkeypatch.setattr(lean, "_BELL", ends)
    with pytest.raises(db.OperationalError):
        jobs.submit("test.echo")
    assert connection.connection.closed
    connection.close_if_unusable_or_obsolete()
    assert Job.objects.count() == 1


def transaction_connection() -> Any:
    """Django's, as submit() has it."""
    return db.transaction.get_connection()
