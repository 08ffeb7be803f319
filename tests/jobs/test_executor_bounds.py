"""Bounds of the executor: concurrency of threads and of async jobs, cancelling, taking back, clean connections."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

import jobs
from jobs.core.backoff import Fixed
from jobs.executor import Executor
from jobs.models import DeadLetter, Job, Queue
from jobs.outcomes import Cancel, Completed, Failed, Outcome
from jobs.registry import JobKind, Registry, job
from jobs.store.values import ClaimedJob
from tests.jobs.conftest import Bench
from tests.support import eventually


def claimed(number: int, kind: str, options: Any = None) -> ClaimedJob:
    return ClaimedJob(
        id=number,
        kind=kind,
        queue="q",
        attempt=1,
        max_attempts=5,
        payload="{}",
        options=None if options is None else json.dumps(options),
        workflow_id=None,
        task="",
    )


class Gate:
    """Handlers that wait, and how many are inside at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside: set[int] = set()
        self.most = 0

    def _enter(self, ctx: Any) -> None:
        self.inside.add(ctx.job_id)
        self.most = max(self.most, len(self.inside))

    def sync(self, ctx: Any, payload: dict[str, Any]) -> None:
        self._enter(ctx)
        while not (self.open.wait(0.005) or ctx.cancelled):
            pass
        self.inside.discard(ctx.job_id)
        ctx.raise_if_cancelled()

    async def later(self, ctx: Any, payload: dict[str, Any]) -> None:
        self._enter(ctx)
        while not (self.open.is_set() or ctx.cancelled):  # noqa: ASYNC110 - the gate is shared with threads
            await asyncio.sleep(0.005)
        self.inside.discard(ctx.job_id)
        ctx.raise_if_cancelled()

    async def cancels_itself(self, ctx: Any, payload: dict[str, Any]) -> None:
        raise asyncio.CancelledError


class Ground:
    """An executor over the gate's handlers, and what has ended in it."""

    def __init__(self, gate: Gate, concurrency: int) -> None:
        registry = Registry()
        for fn in (gate.sync, gate.later, gate.cancels_itself):
            registry.add(
                JobKind(
                    name=fn.__name__,
                    fn=fn,
                    queue="q",
                    priority=0,
                    max_attempts=5,
                    backoff=Fixed(seconds=1),
                    timeout=None,
                    payload_model=None,
                    is_async=asyncio.iscoroutinefunction(fn),
                    description="",
                )
            )
        self.woken = threading.Event()
        self.executor = Executor(registry=registry, concurrency=concurrency, wake=self.woken.set)
        self.ended: dict[int, Outcome] = {}
        self.executor.start()

    def wait(self, *ids: int) -> None:
        def all_ended() -> bool:
            self.ended.update({one.id: outcome for one, outcome in self.executor.collect()})
            return set(ids) <= set(self.ended)

        eventually(all_ended, timeout=5)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def ground(gate: Gate) -> Iterator[Callable[[int], Ground]]:
    made: list[Ground] = []

    def make(concurrency: int) -> Ground:
        made.append(Ground(gate, concurrency))
        return made[-1]

    yield make
    gate.open.set()
    for one in made:
        one.executor.stop()


@pytest.mark.parametrize("kind", ["sync", "later"])
def test_never_more_than_the_concurrency_run_at_once(ground: Any, gate: Gate, kind: str) -> None:
    one = ground(3)
    work = [claimed(number, kind) for number in range(10)]
    one.executor.put(work)
    eventually(lambda: len(gate.inside) == 3)
    assert one.executor.unstarted() == 7
    assert len(one.executor.running()) == 3
    gate.open.set()
    one.wait(*(job.id for job in work))
    assert gate.most == 3
    assert one.executor.unstarted() == 0


@pytest.mark.parametrize("kind", ["sync", "later"])
def test_what_has_not_begun_can_be_taken_back_and_does_not_run(ground: Any, gate: Gate, kind: str) -> None:
    one = ground(1)
    one.executor.put([claimed(number, kind) for number in range(4)])
    eventually(lambda: gate.inside == {0})
    back = one.executor.take_back()
    assert sorted(job.id for job in back) == [1, 2, 3]
    assert one.executor.unstarted() == 0
    assert one.executor.take_back() == []
    one.executor.put([job for job in back if job.id == 2])  # some may be put in again
    gate.open.set()
    one.wait(0, 2)
    assert set(one.ended) == {0, 2}
    one.executor.put([claimed(9, kind)])
    one.wait(9)
    assert set(one.ended) == {0, 2, 9}


@pytest.mark.parametrize("kind", ["sync", "later"])
def test_a_running_handler_hears_that_it_is_to_stop(ground: Any, gate: Gate, kind: str) -> None:
    one = ground(2)
    one.executor.put([claimed(1, kind), claimed(2, kind)])
    eventually(lambda: gate.inside == {1, 2})
    one.executor.request_cancel(1, "wrong file")
    one.executor.request_cancel(77, "nobody")
    one.wait(1)
    assert isinstance(one.ended[1], Cancel)
    assert one.ended[1].reason == "wrong file"
    assert 2 in one.executor.running()


@pytest.mark.parametrize("kind", ["sync", "later"])
def test_time_that_is_up_fails_the_attempt(ground: Any, kind: str) -> None:
    one = ground(1)
    one.executor.put([claimed(1, kind, options={"timeout": 0.05})])
    one.wait(1)
    assert isinstance(one.ended[1], Failed)
    assert one.ended[1].error_class == "JobTimeout"


def test_an_async_handler_that_cancels_itself_has_failed(ground: Any, gate: Gate) -> None:
    one = ground(1)
    gate.open.set()
    one.executor.put([claimed(1, "cancels_itself"), claimed(2, "later")])
    one.wait(1, 2)
    assert isinstance(one.ended[1], Failed)
    assert isinstance(one.ended[2], Completed)


def test_a_later_attempt_beside_an_earlier_one_keeps_hearing(ground: Any) -> None:
    """A worker declared lost may claim the very job that an old thread of it still runs."""
    one = ground(2)
    one.executor.put([claimed(1, "sync")])
    eventually(lambda: 1 in one.executor.running())
    old = one.executor.running()[1]
    one.executor.put([claimed(1, "sync")])
    eventually(lambda: one.executor.running()[1] is not old)
    old.request_cancel("the worker was declared lost")
    one.wait(1)
    assert 1 in one.executor.running()
    one.ended.clear()
    one.executor.request_cancel(1, "for the new one")
    one.wait(1)
    assert isinstance(one.ended[1], Cancel)
    assert one.ended[1].reason == "for the new one"


def test_stopping_ends_the_idle_threads_and_again_is_harmless(ground: Any) -> None:
    one = ground(3)
    one.executor.stop()
    assert not any(thread.is_alive() for thread in one.executor._threads._threads)


# -- the connections of a thread ---------------------------------------------------------------------------------------


@job("test.rough", queue="test", max_attempts=1)
def rough(ctx: Any, payload: dict[str, Any]) -> str:
    """Leaves Django's connection in the state the payload says, or writes a row."""
    match payload["how"]:
        case "killed":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        case "open transaction":
            transaction.atomic().__enter__()
            Queue.objects.create(name="never committed")
        case "failed transaction":
            transaction.atomic().__enter__()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1/0")
        case "no autocommit":
            connection.set_autocommit(False)
            Queue.objects.create(name="never committed")
        case "write":
            Queue.objects.create(name="written")
    return "through"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["killed", "open transaction", "failed transaction", "no autocommit"])
def test_what_a_handler_did_to_its_connection_does_not_reach_the_next_job(bench: Bench, how: str) -> None:
    bench.close()
    one = Bench(concurrency=1)  # one thread: the next job has the same connection
    try:
        one.until(jobs.submit("test.rough", {"how": how}).id, "completed", "dead")
        one.until(jobs.submit("test.rough", {"how": "write"}).id, "completed")
        assert set(Queue.objects.values_list("name", flat=True)) == {"test", "written"}
    finally:
        one.close()


@job("test.unstorable", queue="test", max_attempts=1)
def unstorable(ctx: Any, payload: dict[str, Any]) -> Any:
    """Says things that PostgreSQL or JSON cannot hold."""
    match payload["how"]:
        case "digits":
            return 10**5000
        case "surrogate":
            return "\ud800"
        case "nul":
            return {"\x00": 1}
        case "cycle":
            loop: list[Any] = []
            loop.append(loop)
            return loop
        case "outcome":
            return jobs.Snooze("soon")  # type: ignore[arg-type]
        case _:
            raise ValueError("\x00\ud800" * 3000)


@pytest.mark.django_db(transaction=True)
def test_nothing_a_handler_says_stops_the_worker(bench: Bench) -> None:
    ways = ["digits", "surrogate", "nul", "cycle", "outcome", "raise"]
    placed = jobs.submit_many([jobs.JobSpec(kind="test.unstorable", payload={"how": how}) for how in ways])
    for one in placed:
        bench.until(one.id, "dead")
    assert DeadLetter.objects.count() == len(ways)
    bench.until(jobs.submit("test.echo").id, "completed")
    assert not Job.objects.filter(state="running").exists()
