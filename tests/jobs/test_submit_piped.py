"""The statements of a bulk travel in a pipe: what goes wrong there leaves nothing, and the connection lives on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from pydantic import BaseModel, model_validator

import jobs
from jobs import JobSpec, database, specs
from jobs.errors import InvalidSubmission
from jobs.models import Job, Queue, Ready
from jobs.registry import registry
from notifications.models import Event
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

PARTS = 3
COUNT = PARTS * specs.PART


def many(**wrong: Any) -> list[JobSpec]:
    """More than two parts; `wrong`: the payload of one in the second."""
    given = [JobSpec(kind="test.echo", queue="line:x", payload={"n": number}) for number in range(COUNT)]
    if wrong:
        given[specs.PART + 2] = JobSpec(kind="test.echo", queue="line:x", payload=wrong)
    return given


@pytest.fixture
def second_part_fails() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_job ADD CONSTRAINT no_bad CHECK (NOT payload ? 'bad') NOT VALID")
        yield
        cursor.execute("ALTER TABLE jobs_job DROP CONSTRAINT no_bad")


def assert_nothing_is_there() -> None:
    assert not Job.objects.exists()
    assert not Ready.objects.exists()
    assert not Event.objects.exists()
    assert not Queue.objects.exists()


def assert_usable() -> None:
    """The same connection takes another bulk."""
    assert len(jobs.submit_many(many())) == COUNT
    assert_consistent(connection.cursor())


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each pipe that was opened."""
    opened: list[bool] = []
    real = psycopg.Connection.pipeline

    def counted(self: Any) -> Any:
        opened.append(True)
        return real(self)

    monkeypatch.setattr(psycopg.Connection, "pipeline", counted)
    return opened


def test_a_bulk_goes_through_one_pipe_and_its_answers_are_those_of_its_parts(pipelines: list[bool]) -> None:
    placed = jobs.submit_many(many())
    assert pipelines == [True]
    payloads = dict(Job.objects.values_list("pk", "payload"))
    assert [payloads[one.id]["n"] for one in placed] == list(range(COUNT))


@pytest.mark.usefixtures("second_part_fails")
def test_an_error_in_the_second_part_is_djangos_and_leaves_nothing() -> None:
    with pytest.raises(IntegrityError, match="no_bad"):
        jobs.submit_many(many(bad=1))
    assert_nothing_is_there()
    assert_usable()


@pytest.mark.usefixtures("second_part_fails")
def test_an_error_in_the_second_part_leaves_the_callers_transaction_usable() -> None:
    with transaction.atomic():
        with pytest.raises(IntegrityError, match="no_bad"):
            jobs.submit_many(many(bad=1))
        assert_nothing_is_there()
        assert_usable()
    assert Job.objects.count() == COUNT


def test_a_payload_that_is_refused_is_refused_before_the_pipe(pipelines: list[bool]) -> None:
    with transaction.atomic():
        with pytest.raises(InvalidSubmission) as caught:
            jobs.submit_many(many(bad={1}))
        assert caught.value.field == f"jobs[{specs.PART + 2}].payload"
        assert not pipelines
        assert_nothing_is_there()
        assert_usable()


@pytest.fixture
def at_the_second_part(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Call it with what is to happen there: it raises, or returns the statement to run instead."""

    def arrange(happens: Callable[[], Any]) -> None:
        real, parts = psycopg.Cursor.execute, itertools.count(1)

        def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
            if "jsonb_array_elements" in query and next(parts) == 2:
                query, params = happens(), None
            return real(self, query, params, **options)

        monkeypatch.setattr(psycopg.Cursor, "execute", execute)

    return arrange


def test_a_session_that_ends_in_the_pipe_leaves_nothing_and_the_next_bulk_has_a_new_one(
    at_the_second_part: Callable[..., None],
) -> None:
    at_the_second_part(lambda: "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError):
        jobs.submit_many(many())
    assert_nothing_is_there()
    assert_usable()


def test_an_interrupt_in_the_pipe_leaves_nothing(at_the_second_part: Callable[..., None]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    at_the_second_part(interrupted)
    with pytest.raises(KeyboardInterrupt):
        jobs.submit_many(many())
    assert_nothing_is_there()
    assert_usable()


def test_an_error_at_the_end_of_the_pipe_is_djangos(monkeypatch: pytest.MonkeyPatch) -> None:
    real = psycopg.Pipeline.__exit__

    def lost(self: Any, *given: Any) -> None:
        real(self, *given)
        raise psycopg.OperationalError("the connection is lost")

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Pipeline, "__exit__", lost)
        with pytest.raises(OperationalError, match="is lost"):
            jobs.submit_many(many())
    assert_nothing_is_there()
    assert_usable()


def test_an_error_that_arrives_with_the_rows_is_djangos() -> None:
    """In a pipe of the caller's own, where nobody else turns it into one."""
    with transaction.atomic():
        transaction.set_rollback(True)
        with database.django_cursor() as cursor:
            connection.connection.execute("SAVEPOINT before")
            with connection.connection.pipeline():
                cursor.execute("SELECT 1 / 0")
                with pytest.raises(DataError, match="division"):
                    cursor.fetchall()


def test_large_payloads_are_not_all_on_their_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver keeps what the server has not taken, and moves it about: 240 MB took three times as long."""
    sent: dict[int, int] = {}
    most: list[tuple[int, int]] = []
    execute, fetchall = database.PreparingCursor.execute, database.PreparingCursor.fetchall

    def counted(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if "jsonb_array_elements" in query:
            sent[id(self)] = len(params["payloads"])
            most.append((sum(sent.values()), len(sent)))
        return execute(self, query, params, **options)

    def answered(self: Any) -> Any:
        sent.pop(id(self), None)
        return fetchall(self)

    monkeypatch.setattr(database.PreparingCursor, "execute", counted)
    monkeypatch.setattr(database.PreparingCursor, "fetchall", answered)
    text = "x" * 800
    given = [
        JobSpec(kind="test.echo", payload={"n": number, "text": text}) for number in range(6 * specs.PART)
    ]
    placed = jobs.submit_many(given)
    assert len(most) == 6
    assert max(characters for characters, _ in most) <= 1_000_000
    assert max(statements for _, statements in most) == 2
    payloads = dict(Job.objects.values_list("pk", "payload"))
    assert [payloads[one.id]["n"] for one in placed] == list(range(6 * specs.PART))
    assert_consistent(connection.cursor())


def test_a_single_part_needs_no_pipe(pipelines: list[bool]) -> None:
    assert len(jobs.submit_many(many()[: specs.PART])) == specs.PART
    assert not pipelines


def test_a_model_may_ask_the_database_because_it_is_asked_before_the_pipe(pipelines: list[bool]) -> None:
    """A statement of Django's is none that could run in a pipe."""
    seen: list[int] = []

    class Asking(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def ask(cls, payload: Any) -> Any:
            assert not pipelines
            seen.append(Queue.objects.count() + payload["n"])
            return payload

    asking = replace(registry.get("test.echo"), payload_model=Asking)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry._kinds, "test.echo", asking)
        jobs.submit_many(many())
    assert sorted(set(seen)) == list(range(COUNT))
    assert pipelines == [True]


def test_without_prepared_statements_there_is_no_pipe(settings: Any, pipelines: list[bool]) -> None:
    settings.OPSCHED = {**settings.OPSCHED, "PREPARE_STATEMENTS": False}
    assert_usable()
    assert not pipelines


def test_where_the_driver_knows_no_pipes_there_is_none(
    monkeypatch: pytest.MonkeyPatch, pipelines: list[bool]
) -> None:
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", staticmethod(lambda: False))
    assert_usable()
    assert not pipelines
