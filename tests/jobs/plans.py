"""What a statement's generic plan reads, for the tests of plans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from jobs.database import open_connection
from jobs.store.statements import statement
from tests.jobs.ground import make_worker
from tests.support import eventually

TYPES = {"ids": "bigint[]", "attempts": "smallint[]", "results": "text[]", "worker": "bigint", "limit": "bigint",
         "names": "text[]", "kinds": "text[]", "now": "timestamptz", "anyway": "bool", "target": "text",
         "sources": "text[]", "until": "float8", "states": "text[]", "refunds": "bool[]", "queues": "text[]",
         "priorities": "smallint[]", "max_attempts": "smallint[]", "payloads": "text[]", "options": "text[]",
         "ats": "timestamptz[]", "tasks": "text[]", "pendings": "int[]", "workflow": "bigint",
         "user": "bigint", "places": "int[]", "sorted": "bigint[]",
         "ranks": "bigint[]", "firsts": "bigint[]", "parts": "bigint",
         "place": "bigint", "since": "float8", "after": "bigint"}  # fmt: skip
BY_RANK: dict[str, list[int]] = {"places": [], "sorted": []}
JOBS = 20_000
FILL = f"""
INSERT INTO jobs_queue (name, description, ageing_seconds)
SELECT 'q' || n, '', 60 FROM generate_series(0, 3) AS n;
INSERT INTO jobs_job (id, kind, queue, state, priority, attempt, max_attempts, payload, created_at, scheduled_at,
                      ready_at, task)
SELECT id, 'k', 'q' || id %% 4, 'available', 0, 0, 5, '{{}}', now(), now(), now(), ''
FROM (SELECT nextval(pg_get_serial_sequence('jobs_job', 'id')) AS id FROM generate_series(1, {JOBS})) AS made;
INSERT INTO jobs_ready (job_id, queue, kind, rank)
SELECT id, queue, kind, id FROM jobs_job WHERE id %% 2 = 0;
UPDATE jobs_job SET state = 'running', attempt = 1, worker_id = {{worker}}, started_at = now() WHERE id %% 2 = 1
""".replace("%%", "%")


@contextmanager
def filled() -> Iterator[psycopg.Connection[Any]]:
    """A worker's connection to a filled table, with statistics."""
    with connection.cursor() as cursor:
        cursor.execute(FILL.replace("{worker}", str(make_worker())))
        cursor.execute("ANALYZE jobs_job, jobs_ready, jobs_queue, jobs_claim")
    with open_connection("test plans") as own:
        own.prepare_threshold = None  # the plans are prepared by hand here
        yield own


def plan(
    own: psycopg.Connection[Any], name: str, params: dict[str, Any], text: str | None = None
) -> list[dict[str, Any]]:
    """The nodes of the generic plan, with what running it read; rolled back. `text` stands for the file's."""
    text = text or statement(name)
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, word in enumerate(names, start=1):
        text = text.replace(f"%({word})s", f"${number}")
    kinds = ", ".join(TYPES[word] for word in names)
    own.execute(f"PREPARE seen ({kinds}) AS {text}".encode())
    values = psycopg.sql.SQL(", ").join(psycopg.sql.Literal(params[word]) for word in names)
    with own.transaction(force_rollback=True):
        found = own.execute(
            psycopg.sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE seen ({})").format(values)
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


def vacuum(own: psycopg.Connection[Any], table: str) -> None:
    """Until nothing dead is left: whoever reads at that moment, such as the server's own ANALYZE, keeps it."""
    told: list[str] = []
    own.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))

    def nothing_left() -> bool:
        told.clear()
        own.execute(psycopg.sql.SQL("VACUUM (VERBOSE) {}").format(psycopg.sql.Identifier(table)))
        return " 0 are dead but not yet removable" in "".join(told)

    eventually(nothing_left)


def ids_of(own: psycopg.Connection[Any], state: str, limit: int) -> list[int]:
    """So many, and no fewer: a statement that is given nothing reads nothing."""
    found = own.execute("SELECT id FROM jobs_job WHERE state = %s ORDER BY id LIMIT %s", [state, limit])
    ids = [row[0] for row in found]
    assert len(ids) == limit
    return ids


def read(nodes: list[dict[str, Any]], table: str) -> float:
    """Rows that all scans of a table gave or threw away."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") == table and "Scan" in node["Node Type"]
    )


def returned(nodes: list[dict[str, Any]]) -> int:
    """Rows of the whole statement: one that finds nothing touches little, whatever its plan."""
    return int(nodes[0]["Actual Rows"])


def written(nodes: list[dict[str, Any]], table: str) -> float:
    """Rows that a table's inserts and updates were given: those that passed all conditions."""
    return sum(
        below["Actual Rows"] * below["Actual Loops"]
        for node in nodes
        if node["Node Type"] == "ModifyTable" and node["Relation Name"] == table
        for below in node["Plans"]
        if below["Parent Relationship"] == "Outer"
    )


def hashes(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["Node Type"] for node in nodes if node["Node Type"] in ("Hash Join", "Merge Join")]


def indexes(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in nodes if node.get("Relation Name") == "jobs_ready"}


def buffers(nodes: list[dict[str, Any]]) -> int:
    """Pages that the whole statement touched."""
    return int(nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"])


def sorts(nodes: list[dict[str, Any]]) -> list[float]:
    """How many rows each sort was given."""
    return [node["Actual Rows"] for node in nodes if "Sort" in node["Node Type"]]
