"""A worker that stops while its database is away, and what its last moment still has to write."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

import jobs
from jobs import maintenance
from jobs.database import open_connection
from jobs.maintenance import Reporter
from jobs.models import Job, LogLine, LogLoss
from jobs.running.reports import REPORTS_AT_MOST
from jobs.worker import Options, Worker
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _signals_and_gate() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    kinds.GATE.clear()
    yield
    kinds.GATE.set()
    for number, handler in before.items():
        signal.signal(number, handler)


def in_the_background(work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_second_signal_ends_a_worker_whose_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot give back what it holds; the lease of the others will."""
    away = threading.Event()
    real = open_connection

    def connect(name: str) -> Any:
        if away.is_set():
            raise psycopg.OperationalError("the database is away")
        return real(name)

    monkeypatch.setattr("jobs.scheduler.open_connection", connect)
    job = jobs.submit("test.gated")
    worker = Worker(Options(queues=["test"], concurrency=1, name="cut off"))

    def take_it_away() -> None:
        eventually(lambda: Job.objects.get(pk=job.id).state == "running")
        eventually(worker._executor.running)
        away.set()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                [f"opsched worker {worker.scheduler.worker_id}"],
            )
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)  # two signals of one kind that come at once are one

    helper = in_the_background(take_it_away)
    watchdog = threading.Timer(15, away.clear)  # without the way out, this lets the test end, and fail
    watchdog.start()
    began = time.monotonic()
    worker.run()
    took = time.monotonic() - began
    watchdog.cancel()
    helper.join(10)
    assert took < 14
    assert Job.objects.get(pk=job.id).state == "running"


def test_a_database_that_only_lets_read_for_a_while_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """As after a failover that led to a standby: neither the scheduler nor a loop beside it gives up."""
    worker = Worker(Options(queues=["test"], concurrency=1, name="patient"))
    job = jobs.submit("test.echo", scheduled_at=datetime.now(UTC) + timedelta(seconds=1))

    def lock_it() -> None:
        with open_connection("test administrator") as own:
            own.execute("SET default_transaction_read_only = off")
            eventually(lambda: worker._listener is not None)
            database = connection.settings_dict["NAME"]
            own.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
            try:
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'opsched %'"
                )
                eventually(lambda: "scheduler: database away" in caplog.text)
                eventually(lambda: "heartbeat: database away (cannot execute" in caplog.text)
            finally:
                own.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
        eventually(lambda: Job.objects.get(pk=job.id).state == "completed")
        os.kill(os.getpid(), signal.SIGTERM)

    helper = in_the_background(lock_it)
    watchdog = threading.Timer(30, os.kill, [os.getpid(), signal.SIGTERM])
    watchdog.start()
    assert worker.run() == 0, caplog.text
    watchdog.cancel()
    helper.join(10)
    assert Job.objects.get(pk=job.id).state == "completed"


def test_told_to_stop_before_there_is_a_database_it_ends_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(name: str) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        raise psycopg.OperationalError("nobody listens")

    monkeypatch.setattr("jobs.worker.open_connection", connect)
    assert Worker(Options(queues=["test"])).run() == 0


def test_what_a_job_says_in_the_last_moment_is_written(bench: Bench) -> None:
    reporter = Reporter(executor=bench.executor, on_death=lambda *_: None)
    job = jobs.submit("test.talk", {"lines": 3})
    bench.until(job.id, "completed")
    assert not LogLine.objects.exists()
    reporter.stop()
    assert LogLine.objects.filter(job_id=job.id).count() == 3
    reporter.stop()
    assert LogLine.objects.count() == 3


def test_what_nobody_can_write_down_does_not_pile_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise psycopg.OperationalError("the database is away")

    reporter = Reporter(executor=bench.executor, on_death=lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "in_transaction", away)
        for _ in range(3):
            for number in range(REPORTS_AT_MOST // 2):
                bench.executor._attempts.reports.append((1, 1, 0.0, "info", f"line {number}"))
            with pytest.raises(psycopg.OperationalError):
                reporter.tick()
    told, dropped = bench.executor.reports(), bench.executor.unsaid()
    assert (len(told), dropped) == (REPORTS_AT_MOST, {1: REPORTS_AT_MOST // 2})
    bench.executor.keep_reports(told, dropped)
    reporter.stop()
    assert LogLine.objects.count() == 1000
    loss = LogLoss.objects.get()
    assert (loss.over_limit, loss.unsent) == (REPORTS_AT_MOST - 1000, REPORTS_AT_MOST // 2)
