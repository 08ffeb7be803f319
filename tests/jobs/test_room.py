"""A job stays on its page from the insertion to the end, also while an open transaction lets nothing be cleared."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

import jobs
from jobs import JobSpec
from jobs.models import Job
from jobs.states import State
from notifications.pg import connect
from tests.jobs import kinds  # noqa: F401 - declares the kinds
from tests.jobs.ground import end, make_worker, take

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 400


@pytest.fixture
def horizon() -> Iterator[psycopg.Connection]:
    """A transaction whose snapshot everything that dies is still visible to."""
    with connect(name="test horizon") as held:
        held.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT count(*) FROM jobs_job")
        yield held
        held.execute("ROLLBACK")


def _pages() -> dict[int, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, split_part(ctid::text, ',', 1) FROM jobs_job")
        return dict(cursor.fetchall())


def _moved(text: str) -> int:
    """Jobs that are on another page after claim and completion."""
    placed = [one.id for one in jobs.submit_many([JobSpec(kind="test.echo", payload={"text": text})] * COUNT)]
    before = _pages()
    worker = make_worker()
    end(worker, take(worker, *placed), State.COMPLETED)
    assert Job.objects.filter(state=State.COMPLETED).count() == COUNT
    after = _pages()
    return sum(after[job] != before[job] for job in placed)


@pytest.fixture(autouse=True)
def _as_migrated() -> Iterator[None]:
    """What the migrations left is what is tested, in whatever order, and what is left behind."""
    assert "fillfactor=30" in _options()
    yield
    assert "fillfactor=30" in _options()


def _options() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE oid = 'jobs_job'::regclass")
        options: list[str] = cursor.fetchone()[0]
        return options


@pytest.mark.usefixtures("horizon")
@pytest.mark.parametrize("size", [0, 10, 100, 1000, 1800])
def test_no_job_leaves_its_page(size: int) -> None:
    assert _moved("x" * size) == 0


@pytest.mark.usefixtures("horizon")
def test_with_half_of_each_page_free_they_do() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_job SET (fillfactor = 50)")
        try:
            assert _moved("x" * 100) > COUNT // 4
        finally:
            cursor.execute("ALTER TABLE jobs_job SET (fillfactor = 30)")
