"""The filters of the list of dead letters go along an index each: no walk, no sort of all letters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

pytestmark = pytest.mark.django_db

LETTERS, RARE = 20_000, 20
# One letter in a thousand is of the rare kind, queue and class, and these are the oldest: a walk would read everything.
FILL = """
INSERT INTO jobs_job (id, kind, queue, state, priority, attempt, max_attempts, payload, created_at, scheduled_at, task)
SELECT 1000000 + n, 'k', 'q', 'dead', 0, 1, 1, '{}', now(), now(), '' FROM generate_series(1, %(letters)s) AS n;
INSERT INTO jobs_deadletter (job_id, kind, queue, error_class, message, traceback, attempts, fingerprint, died_at)
SELECT 1000000 + n, w.word || '.kind', w.word || '-queue', w.word || 'Error', '', '', 1, w.word,
       now() - make_interval(secs => %(letters)s - n)
FROM generate_series(1, %(letters)s) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n <= %(rare)s THEN 'Rare' ELSE 'Usual' || n %% 7 END AS word) AS w;
"""


@pytest.fixture
def many(db: None) -> None:
    with connection.cursor() as cursor:
        for statement in FILL.split(";")[:-1]:
            cursor.execute(statement, {"letters": LETTERS, "rare": RARE})
        cursor.execute("ANALYZE jobs_deadletter")


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from nodes(below)


def read(sql: str) -> float:
    """Rows of letters that running it gave or threw away."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql)
        found = cursor.fetchone()[0]
    plan = found if isinstance(found, list) else json.loads(found)
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan[0]["Plan"])
        if node.get("Relation Name") == "jobs_deadletter"
    )


@pytest.mark.parametrize(
    "query",
    [
        "kind=Rare.kind", "queue=Rare-queue", "error=Rare", "error=RareError", "q=Rare", "fingerprint=Rare",
        "kind=Usual3.kind", "queue=Usual3-queue", "error=Usual3", "q=Usual3", "",
    ],
)  # fmt: skip
def test_a_filter_reads_what_it_shows(query: str, many: None, as_viewer: Client) -> None:
    with CaptureQueriesContext(connection) as seen:
        page = as_viewer.get(f"/admin/jobs/deadletter/?{query}")
    assert page.status_code == 200
    shown = page.context["cl"].result_list
    word = next((word for word in ("Rare", "Usual3") if word in query), "")
    assert len(shown) == (RARE if word == "Rare" else page.context["cl"].list_per_page)
    assert all(letter.kind.startswith(word) for letter in shown)
    lists = [
        entry["sql"]
        for entry in seen
        if entry["sql"].startswith('SELECT "jobs_deadletter"') and "ORDER BY" in entry["sql"]
    ]
    assert lists
    assert [read(sql) for sql in lists if read(sql) > 1500] == []
