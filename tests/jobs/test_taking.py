"""From a bell, or from its time, to the start of a job: in how many statements, and with which words in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

import jobs
from jobs import JobSpec, lines, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor, open_connection
from jobs.models import Job, Queue, Ready, Scheduled
from jobs.scheduler import Tick
from jobs.store import statements
from jobs.store.claiming import claim_ready
from jobs.store.values import Claimed
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, make_worker, take, told
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor()


def submit(*priorities: int, kind: str = "test.echo", **options: Any) -> list[int]:
    specs = [JobSpec(kind=kind, priority=priority, **options) for priority in priorities]
    return [one.id for one in jobs.submit_many(specs)]


def everything(limit: int = 10, *, names: tuple[str, ...] = ()) -> Claimed | None:
    with django_cursor() as cursor:
        return claim_ready(
            cursor, worker_id=make_worker(), names=names, kinds=["test.echo", "test.gated"], limit=limit
        )


def taken(limit: int = 10, **options: Any) -> set[int]:
    got = everything(limit, **options)
    assert got is not None
    return {job.id for job in got.jobs}


def test_who_missed_all_that_it_knew_looks_for_more_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker that joins others at a backlog would stand idle until its next poll."""
    monkeypatch.setattr(lines, "READY_AT_MOST", 2)
    submit(0, 0, 0, queue="test")
    with open_connection("test other") as other, other.transaction():
        other.execute("SELECT FROM jobs_ready FOR UPDATE")
        assert bench.round().claimed == 0
        assert len(bench.scheduler._window) == 0
        assert bench.scheduler.wait_seconds() <= 0.005
        for _ in range(8):
            assert bench.round().claimed == 0
        assert bench.scheduler.wait_seconds() > 0.1, "who holds them may do so for long"
    assert bench.scheduler.tick().claimed > 0
    assert bench.scheduler._in_vain == 0


# -- everything that is ready ------------------------------------------------------------------------------------------


def test_it_takes_what_a_claim_takes_and_tells_the_same() -> None:
    _, (first, _) = jobs.submit_workflow(
        "w", [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    )
    plain, other = submit(0, 0, queue="other")
    got = everything()
    assert got is not None
    by_id = {job.id: job for job in got.jobs}
    assert set(by_id) == {first.id, plain, other}
    at_once = sorted(told("job.started"), key=lambda item: item[2]["job"])
    with django_cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET state = 'available', attempt = 0 WHERE state = 'running'")
        cursor.execute(
            "INSERT INTO jobs_ready (job_id, queue, kind, rank) SELECT id, queue, kind, id FROM jobs_job "
            "WHERE state = 'available'"
        )
    again = take(make_worker(), first.id, plain, other)
    by_claim = sorted(told("job.started")[3:], key=lambda item: item[2]["job"])
    assert [(kind, sorted(topics), payload) for kind, topics, payload in at_once] == [
        (kind, sorted(topics), payload) for kind, topics, payload in by_claim
    ]
    for job in again:
        mine = by_id[job.id]
        for name in ("kind", "queue", "attempt", "max_attempts", "payload", "options", "workflow_id", "task"):
            assert getattr(mine, name) == getattr(job, name)
        assert mine.claim_id
    consistent()


def test_it_leaves_what_a_claim_leaves() -> None:
    mine = submit(0, 5)
    submit(0, queue="paused")
    submit(0, queue="narrow")
    submit(0, kind="test.gated")
    submit(0, kind="test.async")
    kept_back: tuple[tuple[str, dict[str, Any]], ...] = (("paused", {}), ("narrow", {"max_running": 1}))
    for name, settings in kept_back:
        Queue.objects.get_or_create(pk=name)
        queue_steering.change_queue(ACTOR, name, **settings) if settings else queue_steering.pause_queue(
            ACTOR, name
        )
    queue_steering.pause_kind(ACTOR, "test.gated")
    assert taken() == set(mine)
    assert Ready.objects.count() == 4


def test_only_its_own_queues_are_taken() -> None:
    here, _ = submit(0), submit(0, queue="other")
    assert taken(names=("test",)) == set(here)


# -- a worker ----------------------------------------------------------------------------------------------------------


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements of the files that are run, by name."""
    names = {statements.statement(name): name for name in NAMES}
    seen: list[str] = []
    real: Callable[..., Any] = psycopg.Cursor.execute

    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        seen.append(names.get(query, str(query)))
        return real(self, query, params, **options)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        yield seen


NAMES = ("claim", "claim_ready", "due_head", "promote", "ready_heads")


@pytest.fixture
def idle(transactional_db: None) -> Iterator[Bench]:
    """Has looked around, and will not poll again by itself."""
    kinds.GATE.clear()
    bench = Bench(concurrency=2)
    bench.round()
    bench.scheduler._polled += 3600.0
    yield bench
    bench.close()


def test_an_idle_worker_starts_a_job_in_one_statement_after_a_bell(
    idle: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(0, kind="test.gated")
    with counted(monkeypatch) as seen:
        idle.scheduler.bell()
        assert idle.scheduler.tick().claimed == 1
    assert [name for name in seen if name in NAMES] == [
        "claim_ready",
        "due_head",
    ]  # the look at later ones is after the start
    assert Job.objects.get(pk=job).state == "running"


def test_where_more_is_ready_than_threads_are_free_the_order_is_looked_at(
    idle: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst, best, middle = submit(-5, 5, 0, kind="test.gated")
    with counted(monkeypatch) as seen:
        idle.scheduler.bell()
        assert idle.scheduler.tick().claimed == 2
    assert [name for name in seen if name in NAMES] == ["claim_ready", "ready_heads", "claim", "due_head"]
    assert set(Job.objects.filter(state="running").values_list("pk", flat=True)) == {best, middle}
    assert Job.objects.get(pk=worst).state == "available"


def test_a_job_that_is_due_is_promoted_and_started_in_one_transaction(
    idle: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.3)
    job = jobs.submit("test.gated", scheduled_at=at).id
    elsewhere = jobs.submit("test.gated", queue="other", scheduled_at=at).id
    idle.scheduler.bell()
    assert idle.scheduler.tick().claimed == 0

    def promoted() -> Tick | None:
        tick = idle.scheduler.tick()
        return tick if tick.promoted else None

    with counted(monkeypatch) as seen:
        done = eventually(promoted)
    assert done is not None
    assert (done.promoted, done.claimed) == (2, 1)
    assert [name for name in seen if name in ("BEGIN", "promote", "claim", "COMMIT", "ready_heads")] == [
        "BEGIN",
        "promote",
        "claim",
        "COMMIT",
    ]
    found = Job.objects.get(pk=job)
    assert found.state == "running"
    assert found.started_at is not None
    assert found.started_at >= found.ready_at >= at  # type: ignore[operator]
    assert Job.objects.get(pk=elsewhere).state == "available"
    assert not Scheduled.objects.exists()
    assert [item[2]["job"] for item in told("job.available")] == [job, elsewhere]
    consistent()
