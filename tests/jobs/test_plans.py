"""The plans of the hot statements on a table of 20,000 jobs: index ranges and primary keys, never a walk through it.

Seen through a worker's own connection, with the generic plans it uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.database import open_connection
from jobs.store.statements import statement
from tests.jobs.ground import make_worker

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 20_000
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
TYPES = {"ids": "bigint[]", "attempts": "smallint[]", "results": "text[]", "worker": "bigint", "limit": "bigint",
         "names": "text[]", "kinds": "text[]"}  # fmt: skip


@pytest.fixture
def worker(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A worker's connection to a filled table, with statistics."""
    with connection.cursor() as cursor:
        cursor.execute(FILL.replace("{worker}", str(make_worker())))
        cursor.execute("ANALYZE jobs_job, jobs_ready, jobs_queue, jobs_claim")
    with open_connection("test plans") as own:
        own.prepare_threshold = None  # the plans are prepared by hand here
        yield own


def plan(own: psycopg.Connection[Any], name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of the generic plan, with what running it read; rolled back."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement(name))))
    text = statement(name)
    for number, word in enumerate(names, start=1):
        text = text.replace(f"%({word})s", f"${number}")
    kinds = ", ".join(TYPES[word] for word in names)
    own.execute(f"PREPARE seen ({kinds}) AS {text}".encode())
    values = psycopg.sql.SQL(", ").join(psycopg.sql.Literal(params[word]) for word in names)
    with own.transaction(force_rollback=True):
        found = own.execute(
            psycopg.sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE seen ({})").format(values)
        ).fetchone()
    own.execute("DEALLOCATE seen")
    assert found is not None
    top = found[0] if isinstance(found[0], list) else json.loads(found[0])
    return list(_nodes(top[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)


def walks(nodes: list[dict[str, Any]]) -> list[str]:
    """Where a plan reads all of a table that grows."""
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for node in nodes
        if "Seq Scan" in node["Node Type"] and node["Relation Name"] in ("jobs_job", "jobs_ready")
    ]


def ids_of(own: psycopg.Connection[Any], state: str, limit: int) -> list[int]:
    found = own.execute("SELECT id FROM jobs_job WHERE state = %s ORDER BY id LIMIT %s", [state, limit])
    return [row[0] for row in found]


def read(nodes: list[dict[str, Any]], table: str) -> float:
    """Rows that all scans of a table gave or threw away."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") == table and "Scan" in node["Node Type"]
    )


def hashes(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["Node Type"] for node in nodes if node["Node Type"] in ("Hash Join", "Merge Join")]


@pytest.mark.parametrize("batch", [1, 200, 1000])
def test_a_claim_reaches_its_rows_by_primary_key(worker: psycopg.Connection[Any], batch: int) -> None:
    wanted = ids_of(worker, "available", batch)
    nodes = plan(worker, "claim", {"ids": wanted, "worker": 1, "limit": batch})
    assert walks(nodes) == hashes(nodes) == []
    assert read(nodes, "jobs_job") <= batch
    assert read(nodes, "jobs_ready") <= 2 * batch


@pytest.mark.parametrize("batch", [1, 200, 1000])
def test_a_completion_reaches_its_rows_by_primary_key(worker: psycopg.Connection[Any], batch: int) -> None:
    wanted = ids_of(worker, "running", batch)
    own = worker.execute("SELECT max(worker_id) FROM jobs_job").fetchone()
    assert own is not None
    params = {"ids": wanted, "attempts": [1] * batch, "results": [None] * batch, "worker": own[0]}
    nodes = plan(worker, "complete", params)
    assert walks(nodes) == hashes(nodes) == []
    assert read(nodes, "jobs_job") == batch


def test_the_heads_are_index_ranges_and_only_they_are_sorted(worker: psycopg.Connection[Any]) -> None:
    """A sort inside a queue would read its whole backlog to find its first few."""
    nodes = plan(worker, "ready_heads", {"names": [], "kinds": ["k", "other"], "limit": 100})
    assert walks(nodes) == []
    sorts = [index for index, node in enumerate(nodes) if "Sort" in node["Node Type"]]
    joins = [index for index, node in enumerate(nodes) if node["Node Type"] == "Nested Loop"]
    assert max(sorts, default=-1) < min(joins), "the best of the queues are sorted, above where they are read"
    assert {node["Index Name"] for node in nodes if node.get("Relation Name") == "jobs_ready"} == {
        "ready_by_rank"
    }
    assert read(nodes, "jobs_ready") <= 4 * 101


def test_the_planner_left_alone_would_walk_through_the_table(worker: psycopg.Connection[Any]) -> None:
    """The control: with PostgreSQL's own settings, a thousand ids are hashed against the whole table."""
    wanted = ids_of(worker, "running", 1000)
    params = {"ids": wanted, "attempts": [1] * 1000, "results": [None] * 1000, "worker": 1}
    worker.execute("RESET ALL")
    worker.execute("SET plan_cache_mode = force_custom_plan")
    nodes = plan(worker, "complete", params)
    assert walks(nodes) + hashes(nodes) != []
