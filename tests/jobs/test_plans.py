"""The plans of the hot statements on a table of 20,000 jobs: index ranges and primary keys, never a walk through it.

Seen through a worker's own connection, with the generic plans it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.database import open_connection
from jobs.store.limiting import in_places
from jobs.store.statements import statement
from tests.jobs.ground import make_worker
from tests.jobs.plans import (
    BY_RANK,
    buffers,
    hashes,
    ids_of,
    indexes,
    plan,
    read,
    returned,
    sorts,
    vacuum,
    walks,
)

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 20_000
MANY = 3_000
"""So many ids that the planner, left alone, would rather walk through the table than look for each of them."""
FILL = f"""
INSERT INTO jobs_queue (name, description, ageing_seconds)
SELECT 'q' || n, '', 60 FROM generate_series(0, 3) AS n;
INSERT INTO jobs_job (kind, queue, state, priority, attempt, max_attempts, payload, created_at, scheduled_at,
                      ready_at, task)
SELECT 'k', 'q' || n %% 4, 'available', 0, 0, 5, '{{}}', now(), now(), now(), '' FROM generate_series(1, {JOBS}) AS n;
INSERT INTO jobs_ready (job_id, queue, kind, rank)
SELECT id, queue, kind, id FROM jobs_job WHERE id %% 2 = 0;
UPDATE jobs_job SET state = 'running', attempt = 1, worker_id = {{worker}}, started_at = now() WHERE id %% 2 = 1
""".replace("%%", "%")
LANES = 2
"""Of the queues, those in which something is ready: the jobs with even ids."""
WHOLE = {"parts": 1, "place": 0}


@pytest.fixture
def worker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A worker's connection to a filled table, with statistics."""
    with connection.cursor() as cursor:
        cursor.execute(FILL.replace("{worker}", str(make_worker())))
        cursor.execute("ANALYZE jobs_job, jobs_ready, jobs_queue, jobs_claim")
    with open_connection("test plans") as own:
        own.prepare_threshold = None  # the plans are prepared by hand here
        yield own


@pytest.mark.parametrize("batch", [1, 200, 1000, MANY])
def test_a_claim_reaches_its_rows_by_primary_key(worker: psycopg.Connection[Any], batch: int) -> None:
    wanted = ids_of(worker, "available", batch)
    nodes = plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": batch, **BY_RANK})
    assert walks(nodes) == hashes(nodes) == []
    assert returned(nodes) == read(nodes, "jobs_job") == batch
    assert read(nodes, "jobs_ready") <= 2 * batch


@pytest.mark.parametrize("batch", [1, 200, 1000, MANY])
def test_a_completion_reaches_its_rows_by_primary_key(worker: psycopg.Connection[Any], batch: int) -> None:
    wanted = ids_of(worker, "running", batch)
    own = worker.execute("SELECT max(worker_id) FROM jobs_job").fetchone()
    assert own is not None
    params = {"ids": wanted, "attempts": [1] * batch, "results": [None] * batch, "worker": own[0]}
    nodes = plan(worker, "complete", params)
    assert walks(nodes) == hashes(nodes) == []
    assert read(nodes, "jobs_job") == batch


def test_the_heads_are_index_ranges_and_nothing_is_sorted(worker: psycopg.Connection[Any]) -> None:
    """A sort inside a queue would read its whole backlog to find its first few."""
    nodes = plan(worker, "ready_heads", {"names": [], "kinds": ["k", "other"], "limit": 100, **WHOLE})
    assert walks(nodes) == []
    assert [node["Node Type"] for node in nodes if "Sort" in node["Node Type"]] == []
    assert indexes(nodes) == {"ready_by_kind"}
    assert returned(nodes) == LANES
    assert read(nodes, "jobs_ready") <= LANES * 102


def test_kinds_nobody_knows_cost_a_look_nothing(worker: psycopg.Connection[Any]) -> None:
    worker.execute("UPDATE jobs_ready SET kind = 'gone', rank = rank - 1000000 WHERE job_id % 20 <> 0")
    worker.execute("ANALYZE jobs_ready")
    nodes = plan(worker, "ready_heads", {"names": [], "kinds": ["k", "other"], "limit": 100, **WHOLE})
    assert walks(nodes) == []
    assert returned(nodes) == 1
    assert read(nodes, "jobs_ready") <= LANES * 103


def test_what_died_under_an_open_transaction_is_not_stepped_over(worker: psycopg.Connection[Any]) -> None:
    """The control is the look from the beginning, which has to."""
    with open_connection("test horizon") as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM jobs_queue")
        found = worker.execute("SELECT queue, max(rank) FROM jobs_ready GROUP BY 1 LIMIT 1").fetchone()
        assert found is not None
        queue, last = found
        worker.execute("DELETE FROM jobs_ready WHERE queue = %s AND rank < %s", found)
        worker.execute("ANALYZE jobs_ready")
        bounded = plan(
            worker,
            "ready_heads_from",
            {"queues": [queue], "kinds": ["k"], "begins": [last], "limit": 100, **WHOLE},
        )
        full = plan(worker, "ready_heads", {"names": [queue], "kinds": ["k"], "limit": 100, **WHOLE})
        holder.execute("ROLLBACK")
    assert walks(bounded) == []
    assert returned(bounded) == returned(full) == 1
    assert indexes(bounded) == {"ready_by_kind"}
    assert buffers(bounded) <= 20
    assert buffers(full) > 5 * buffers(bounded)


def test_the_planner_left_alone_would_walk_through_the_table(worker: psycopg.Connection[Any]) -> None:
    """The control: with PostgreSQL's own settings, many ids are hashed against the whole table."""
    wanted = ids_of(worker, "running", MANY)
    params = {"ids": wanted, "attempts": [1] * MANY, "results": [None] * MANY, "worker": 1}
    worker.execute("RESET ALL")
    worker.execute("SET plan_cache_mode = force_custom_plan")
    nodes = plan(worker, "complete", params)
    assert walks(nodes) + hashes(nodes) != []


def own_jobs(worker: psycopg.Connection[Any], batch: int) -> dict[str, Any]:
    """A batch that runs, with its half of the fence."""
    found = worker.execute("SELECT max(worker_id) FROM jobs_job").fetchone()
    assert found is not None
    return {"ids": ids_of(worker, "running", batch), "attempts": [1] * batch, "worker": found[0]}


def test_a_claim_touches_few_pages_and_sorts_its_candidates_alone(worker: psycopg.Connection[Any]) -> None:
    """200 for a claim of one; in a batch it is the rows' own pages, their index entries and what is written."""
    wanted = ids_of(worker, "available", 200)
    single = plan(worker, "claim", {"ids": wanted[:1], "worker": 1, "limit": 1, **BY_RANK})
    assert returned(single) == 1
    assert buffers(single) <= 200
    batch = plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": 200, **BY_RANK})
    assert returned(batch) == 200
    assert buffers(batch) <= 200 + 10 * 200
    assert max(sorts(batch)) <= 200


def test_a_claim_in_the_order_of_its_candidates_reads_no_more_than_one_by_rank(
    worker: psycopg.Connection[Any],
) -> None:
    """As of a worker that shares itself among queues, while others take from them too."""
    wanted = ids_of(worker, "available", 1000)
    params = {"ids": wanted[::-1], "worker": 1, "limit": 200, **in_places(wanted[::-1])}
    nodes = plan(worker, "claim", params)
    assert walks(nodes) == hashes(nodes) == []
    assert returned(nodes) == read(nodes, "jobs_job") == 200
    assert read(nodes, "jobs_ready") <= 2 * 1000


def test_a_claim_that_walked_would_be_seen_by_its_pages(worker: psycopg.Connection[Any]) -> None:
    """The control: the same claim, made to read its queue through."""
    wanted = ids_of(worker, "available", 1)
    text = statement("claim").replace(
        "WHERE r.job_id = ANY(%(ids)s::bigint[])", "WHERE (r.job_id + 0) = ANY(%(ids)s)"
    )
    text = text.replace("ANY(%(ids)s)", "ANY(%(ids)s::bigint[])")
    assert text != statement("claim")
    assert buffers(plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": 1, **BY_RANK}, text)) > 60
    assert (
        read(plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": 1, **BY_RANK}, text), "jobs_ready")
        >= JOBS / 2
    )


def test_what_becomes_due_is_an_index_range(worker: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_scheduled (job_id, at, state) "
            "SELECT id, now() + make_interval(secs => id), 'scheduled' FROM jobs_job WHERE id % 2 = 1"
        )
        cursor.execute("ANALYZE jobs_scheduled")
    for since in (0, 1e9):
        nodes = plan(worker, "due_head", {"since": since, "after": 0, "until": 4e9, "limit": 100})
        assert sorts(nodes) == []
        assert returned(nodes) == 100
        assert {node["Index Name"] for node in nodes if "Index Name" in node} == {"scheduled_by_time"}
        assert read(nodes, "jobs_scheduled") <= 101


def test_an_idle_workers_claim_reads_heads_and_its_own_rows(worker: psycopg.Connection[Any]) -> None:
    """Too much is ready here: it takes nothing, having read one more than its limit."""
    params = {"names": [], "kinds": ["k", "other"], "worker": 1, "limit": 8}
    nodes = plan(worker, "claim_ready", params)
    assert walks(nodes) == hashes(nodes) == []
    assert read(nodes, "jobs_ready") <= 4 * 12
    worker.execute(
        "DELETE FROM jobs_ready WHERE job_id NOT IN (SELECT job_id FROM jobs_ready ORDER BY 1 LIMIT 8)"
    )
    vacuum(worker, "jobs_ready")
    nodes = plan(worker, "claim_ready", params)
    assert walks(nodes) == hashes(nodes) == []
    assert returned(nodes) == read(nodes, "jobs_job") == 8
    assert buffers(nodes) <= 200 + 10 * 8


@pytest.mark.parametrize("batch", [1, 200])
def test_the_other_ends_reach_their_rows_by_primary_key(worker: psycopg.Connection[Any], batch: int) -> None:
    params = own_jobs(worker, batch) | {"states": ["retryable"] * batch, "refunds": [False] * batch}
    nodes = plan(worker, "end_attempt", params)
    assert walks(nodes) == hashes(nodes) == []
    assert returned(nodes) == batch
    assert read(nodes, "jobs_job") <= 2 * batch
    assert max(sorts(nodes)) <= batch


def test_a_submission_reads_no_table_that_grows(worker: psycopg.Connection[Any]) -> None:
    """It runs on Django's connection, with PostgreSQL's own settings."""
    worker.execute("RESET ALL")
    count = 100
    params: dict[str, Any] = {
        "kinds": ["k"] * count,
        "queues": ["q1"] * count,
        "priorities": [0] * count,
        "max_attempts": [5] * count,
        "payloads": ["{}"] * count,
        "options": [None] * count,
        "ats": [None] * count,
        "tasks": [""] * count,
        "pendings": [0] * count,
        "workflow": None,
        "user": None,
        "now": None,
    }
    nodes = plan(worker, "insert_jobs", params)
    assert {
        node["Relation Name"] for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node
    } == {"jobs_queue"}


def test_jobs_that_become_ready_reach_their_rows_by_primary_key(worker: psycopg.Connection[Any]) -> None:
    wanted = ids_of(worker, "available", 200)
    with worker.transaction(force_rollback=True):
        worker.execute("DELETE FROM jobs_ready WHERE job_id = ANY(%s)", [wanted])
        nodes = plan(worker, "insert_ready", {"ids": wanted})
    assert walks(nodes) == []
    assert read(nodes, "jobs_job") == 200


# -- statistics that lie -----------------------------------------------------------------------------------------------
#
# A queue that is vacuumed while it is empty keeps its pages and has no rows by the statistics: until the next ANALYZE
# the planner takes whatever is loaded then for one row, and may put it on the outer side of a join. That is the usual
# life of a queue. A claim took 7 s at 20,000 jobs.

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
