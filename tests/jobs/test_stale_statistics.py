"""Plans after a vacuum of the empty table: its statistics lie until the next ANALYZE.

A queue that is vacuumed while it is empty keeps its pages and has no rows by the statistics: the planner takes whatever
is loaded then for one row, and may put it on the outer side of a join. That is the usual life of a queue. A claim took
7 s at 20,000 jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.store.statements import statement
from tests.jobs.plans import BY_RANK, JOBS, filled, ids_of, plan, read, returned, vacuum, walks

pytestmark = pytest.mark.django_db(transaction=True)

EMPTIED = """
CREATE TEMPORARY TABLE kept AS SELECT * FROM {table};
TRUNCATE {table};
INSERT INTO {table} SELECT * FROM kept LIMIT 2000;
DELETE FROM {table};
DELETE FROM pg_statistic WHERE starelid = '{table}'::regclass
"""
FILLED_AGAIN = """
INSERT INTO {table} SELECT * FROM kept;
DROP TABLE kept
"""


@pytest.fixture
def worker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with filled() as own:
        yield own


@pytest.fixture
def lie_about(worker: psycopg.Connection[Any]) -> Iterator[Callable[[str], None]]:
    """Empty a table, vacuum it, fill it again; autovacuum keeps away until the test is over."""
    told: list[str] = []

    def lie(table: str) -> None:
        told.append(table)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        _run(EMPTIED.format(table=table))
        vacuum(worker, table)
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples, relpages > 0 FROM pg_class WHERE relname = %s", [table])
            assert cursor.fetchone() == (0, True)
        _run(FILLED_AGAIN.format(table=table))

    yield lie
    with connection.cursor() as cursor:
        for table in told:
            cursor.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


def _run(statements: str) -> None:
    with connection.cursor() as cursor:
        for one in statements.split(";"):
            cursor.execute(one)


@pytest.mark.parametrize("batch", [200, 1000])
def test_a_claim_reads_no_more_than_its_rows_after_a_vacuum_of_the_empty_queue(
    worker: psycopg.Connection[Any], lie_about: Callable[[str], None], batch: int
) -> None:
    lie_about("jobs_ready")
    wanted = ids_of(worker, "available", batch)
    nodes = plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": batch, **BY_RANK})
    assert read(nodes, "jobs_ready") <= 2 * batch
    assert returned(nodes) == read(nodes, "jobs_job") == batch


def test_with_a_join_it_reads_the_whole_queue_then(
    worker: psycopg.Connection[Any], lie_about: Callable[[str], None]
) -> None:
    """The control: the form the statement had."""
    lie_about("jobs_ready")
    wanted = ids_of(worker, "available", 20)
    text = statement("claim").replace(
        "WHERE r.job_id = ANY(ARRAY(SELECT p.job_id FROM picked p))",
        "USING picked p WHERE r.job_id = p.job_id",
    )
    assert text != statement("claim")
    nodes = plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": 20, **BY_RANK}, text)
    assert read(nodes, "jobs_ready") >= JOBS / 2


def test_a_promotion_reads_no_more_than_its_rows_after_a_vacuum_of_the_empty_table(
    worker: psycopg.Connection[Any], lie_about: Callable[[str], None]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET state = 'scheduled' WHERE id % 2 = 1")
        cursor.execute(
            "INSERT INTO jobs_scheduled (job_id, at, state) "
            "SELECT id, now(), 'scheduled' FROM jobs_job WHERE id % 2 = 1"
        )
    lie_about("jobs_scheduled")
    wanted = ids_of(worker, "scheduled", 500)
    nodes = plan(worker, "promote", {"ids": wanted, "now": None, "anyway": True})
    assert walks(nodes) == []
    assert returned(nodes) == read(nodes, "jobs_job") == len(wanted)
    assert read(nodes, "jobs_scheduled") <= 2 * len(wanted)


def test_an_operators_cancel_reads_no_more_than_its_rows_after_a_vacuum_of_the_empty_queue(
    worker: psycopg.Connection[Any], lie_about: Callable[[str], None]
) -> None:
    lie_about("jobs_ready")
    wanted = ids_of(worker, "available", 500)
    worker.execute("RESET ALL")  # operators' connections have PostgreSQL's own settings
    params = {"ids": wanted, "sources": ["available"], "target": "cancelled"}
    nodes = plan(worker, "close", params)
    assert returned(nodes) == len(wanted)
    assert read(nodes, "jobs_ready") <= 2 * len(wanted)
