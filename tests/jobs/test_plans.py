"""The plans of the hot statements on a table of 20,000 jobs: index ranges and primary keys, never a walk through it.

Seen through a worker's own connection, with the generic plans it uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.database import open_connection
from jobs.store.limiting import in_places
from jobs.store.statements import statement
from tests.jobs.plans import (
    BY_RANK,
    JOBS,
    buffers,
    filled,
    hashes,
    ids_of,
    indexes,
    plan,
    read,
    returned,
    sorts,
    vacuum,
    walks,
    written,
)

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 3_000
"""So many ids that the planner, left alone, would rather walk through the table than look for each of them."""
LANES = 2
"""Of the queues, those in which something is ready: the jobs with even ids."""
WHOLE = {"parts": 1, "place": 0}


@pytest.fixture
def worker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with filled() as own:
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
    assert read(nodes, "jobs_job") == written(nodes, "jobs_job") == batch


def test_the_heads_are_index_ranges_and_nothing_is_sorted(worker: psycopg.Connection[Any]) -> None:
    """A sort inside a queue would read its whole backlog to find its first few."""
    nodes = plan(worker, "ready_heads", {"names": [], "kinds": ["k", "other"], "limit": 100, **WHOLE})
    assert walks(nodes) == []
    assert [node["Node Type"] for node in nodes if "Sort" in node["Node Type"]] == []
    assert indexes(nodes) == {"ready_by_kind"}
    assert returned(nodes) == LANES
    assert read(nodes, "jobs_ready") <= LANES * 102


def test_kinds_nobody_knows_cost_a_look_nothing(worker: psycopg.Connection[Any]) -> None:
    """They stand in front, and among the names on both sides of the one that is known."""
    worker.execute(
        "UPDATE jobs_ready SET rank = rank - 1000000,"
        " kind = CASE WHEN job_id % 20 < 10 THEN 'gone' ELSE 'unknown' END WHERE job_id % 20 <> 0"
    )
    worker.execute("ANALYZE jobs_ready")
    nodes = plan(worker, "ready_heads", {"names": [], "kinds": ["k", "other"], "limit": 100, **WHOLE})
    assert walks(nodes) == []
    assert returned(nodes) == 1
    assert read(nodes, "jobs_ready") <= LANES * 103


def test_what_died_under_an_open_transaction_is_not_stepped_over(worker: psycopg.Connection[Any]) -> None:
    """Nor where all came in one call, of one rank. The control is the look from the beginning, which has to."""
    worker.execute("UPDATE jobs_ready SET rank = 7 WHERE queue = 'q0'")
    vacuum(worker, "jobs_ready")
    with open_connection("test horizon") as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM jobs_queue")
        found = worker.execute("SELECT max(job_id) FROM jobs_ready WHERE queue = 'q0'").fetchone()
        assert found is not None
        gone = worker.execute("DELETE FROM jobs_ready WHERE queue = 'q0' AND job_id < %s", found)
        assert gone.rowcount > 1_000
        worker.execute("ANALYZE jobs_ready")
        bounded = plan(
            worker,
            "ready_heads_from",
            {"queues": ["q0"], "kinds": ["k"], "ranks": [7], "firsts": list(found), "limit": 100, **WHOLE},
        )
        full = plan(worker, "ready_heads", {"names": ["q0"], "kinds": ["k"], "limit": 100, **WHOLE})
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
    assert returned(nodes) == 1, "the row that says so"
    assert read(nodes, "jobs_job") == 0
    assert 8 + 1 <= read(nodes, "jobs_ready") <= 4 * 12
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
    assert returned(nodes) == written(nodes, "jobs_job") == written(nodes, "jobs_ready") == count
    assert {
        node["Relation Name"] for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node
    } == {"jobs_queue"}


def test_jobs_that_become_ready_reach_their_rows_by_primary_key(worker: psycopg.Connection[Any]) -> None:
    wanted = ids_of(worker, "available", 200)
    with worker.transaction(force_rollback=True):
        worker.execute("DELETE FROM jobs_ready WHERE job_id = ANY(%s)", [wanted])
        nodes = plan(worker, "insert_ready", {"ids": wanted})
    assert walks(nodes) == []
    assert read(nodes, "jobs_job") == written(nodes, "jobs_ready") == 200
