"""Async handlers use Django's connections in another thread; a broken one must not stay broken for ever."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connection, connections

import jobs
from jobs.core.backoff import Fixed
from jobs.models import Queue
from jobs.registry import JobKind, registry
from tests.jobs.conftest import Bench

pytestmark = pytest.mark.django_db(transaction=True)


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


async def count(ctx: Any, payload: dict[str, Any]) -> dict[str, int]:
    return {"queues": await Queue.objects.acount(), "pid": await sync_to_async(backend_pid)()}


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Any:
    kind = JobKind(
        name="test.counting",
        fn=count,
        queue="test",
        priority=0,
        max_attempts=3,
        backoff=Fixed(seconds=0.01),
        timeout=None,
        payload_model=None,
        is_async=True,
        description="",
    )
    monkeypatch.setitem(registry._kinds, kind.name, kind)
    made = Bench()
    yield made
    made.close()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result(10)


def test_async_jobs_use_the_database_again_after_their_connection_broke(counting: Bench) -> None:
    first = counting.until(jobs.submit("test.counting").id, "completed")
    assert isinstance(first.result, dict)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [first.result["pid"]])
    ended = counting.until(jobs.submit("test.counting").id, "completed", "dead")
    assert ended.state == "completed"
    assert ended.attempt <= 2
