"""What monitors are told, and to whom; and what every page carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import AsyncClient, Client
from rest_framework.authtoken.models import Token

from jobs.models import WorkerProcess
from notifications import epoch
from notifications.ticker import Ticker
from opsched.metrics import DatabaseFigures
from tests.jobs.ground import make_worker
from tests.support import eventually, leading


@pytest.fixture
def ticking(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        epoch.state(cursor)  # begins the log, which the flush after other tests has removed
    ticker = leading(Ticker())
    yield
    ticker.stop()


def test_alive_asks_no_database(client: Client, settings: Any) -> None:
    # Not marked with django_db: a query would be an error.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-cache" in answer["Cache-Control"]


def test_ready_names_what_it_looked_at(client: Client, ticking: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.json()
    assert {name: check["ok"] for name, check in answer.json()["checks"].items()} == {
        "database": True,
        "migrations": True,
        "ticker": True,
    }


def test_not_ready_when_the_ticker_is_silent(client: Client, ticking: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notifications_epoch SET ticked_at = ticked_at - interval '1 hour'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "silent for 36" in answer.json()["checks"]["ticker"]["finding"]


def test_not_ready_when_a_migration_is_missing(client: Client, ticking: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'authtoken' RETURNING app, name, applied")
        removed = cursor.fetchall()
    try:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "the first is authtoken" in answer.json()["checks"]["migrations"]["finding"]
    finally:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", removed
            )


@pytest.mark.django_db
def test_not_ready_without_a_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError('connection to server at "10.1.2.3" failed: password=hush')

    monkeypatch.setattr(connection, "cursor", refuse)
    monkeypatch.setattr("opsched.health.MigrationExecutor", refuse)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["finding"] == "the database refuses: OperationalError"
    assert "hush" not in answer.content.decode()
    assert "10.1.2.3" not in answer.content.decode()


@pytest.mark.django_db
def test_figures_are_prometheus_text(client: Client) -> None:
    text = client.get("/metrics").content.decode()
    assert "opsched_database_up 1.0" in text
    assert "process_resident_memory_bytes" in text
    assert "opsched_database_connections" in text


@pytest.mark.django_db
def test_figures_tell_what_lost_jobs_still_hold_in_living_workers() -> None:
    def held() -> float:
        figures = [metric for metric in DatabaseFigures().collect() if metric.name == "opsched_lost_running"]
        return figures[0].samples[0].value

    assert held() == 0
    for state, still in (("live", 2), ("draining", 3), ("lost", 50), ("stopped", 50)):
        WorkerProcess.objects.filter(pk=make_worker(state)).update(state=state, lost_running=still)
    assert held() == 5


@pytest.mark.django_db
def test_figures_count_what_waits() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO jobs_queue (name, description) VALUES ('mail', '')")
        cursor.execute(
            "INSERT INTO jobs_job (kind, queue, state, priority, attempt, max_attempts, payload, scheduled_at,"
            " ready_at, task) SELECT 'k', 'mail', 'available', 0, 0, 5, '{}', now(), now() - interval '90 s', ''"
            " FROM generate_series(1, 3) RETURNING id"
        )
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO jobs_ready (job_id, queue, kind, rank) SELECT unnest(%s::bigint[]), 'mail', 'k', 0",
            [ids],
        )
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in DatabaseFigures().collect()
        for sample in metric.samples
    }
    assert samples["opsched_jobs_available", "mail"] == 3
    assert 90 <= samples["opsched_oldest_available_seconds", "mail"] < 150


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.7"}, 403),
        ("", {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ("hush", {}, 403),
        ("hush", {"HTTP_AUTHORIZATION": "Bearer wrong"}, 403),
        ("hush", {"HTTP_AUTHORIZATION": "Bearer hush", "REMOTE_ADDR": "192.0.2.7"}, 200),
    ],
)
@pytest.mark.django_db
def test_figures_are_for_this_machine_or_for_the_token(
    client: Client, settings: Any, token: str, headers: dict[str, Any], status: int
) -> None:
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", **headers).status_code == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.django_db
def test_they_only_answer_questions(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


async def test_static_files_come_whole_and_without_a_warning_under_asgi(async_client: AsyncClient) -> None:
    answer = await async_client.get("/static/admin/css/base.css")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")
    assert int(answer["Content-Length"]) == len(answer.content) > 1000
    assert (await async_client.get("/static/../opsched/settings.py")).status_code == 404


@pytest.mark.django_db(transaction=True)
async def test_head_is_answered_without_any_part_of_the_body() -> None:
    """A body in several parts: the server itself leaves out only the first."""
    from opsched.asgi import application

    user = await get_user_model().objects.acreate(username="ada", is_superuser=True)
    token = await Token.objects.acreate(user=user)
    sent: list[dict[str, Any]] = []
    request = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return request.pop() if request else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Token {token.key}".encode())]
    scope = {
        "type": "http",
        "method": "HEAD",
        "path": "/api/schema/",
        "query_string": b"",
        "headers": headers,
    }
    await application(scope, receive, send)
    assert sent[0]["status"] == 200
    assert int(dict(sent[0]["headers"])[b"Content-Length"]) > 65_536
    assert b"".join(message["body"] for message in sent[1:]) == b""


def test_static_files_are_found_without_asgi_too(client: Client) -> None:
    assert client.get("/static/admin/css/base.css").status_code == 200


def test_pages_forbid_other_hosts_and_frames(client: Client, db: None) -> None:
    answer = client.get("/admin/login/")
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_address_gets_a_page_that_says_so(client: Client, db: None) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address" in answer.content.decode()


def test_the_figures_are_read_at_most_every_five_seconds(db: None, django_assert_num_queries: Any) -> None:
    figures = DatabaseFigures()
    figures.collect()
    with django_assert_num_queries(0):
        eventually(figures.collect)
