"""Handlers that do not stop at their timeout: the worker goes on without them, and says so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import jobs
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.executor import Executor
from jobs.models import Attempt, Job
from jobs.registry import job
from jobs.running.overdue import Overdue, TooManyLeftBehind
from tests.jobs.conftest import Bench
from tests.support import eventually

pytestmark = pytest.mark.django_db(transaction=True)

GATE = threading.Event()
OPTIONS: dict[str, Any] = {"queue": "test", "backoff": Fixed(seconds=600)}


@job("overdue.deaf", timeout=0.1, **OPTIONS)
def deaf(ctx: JobContext, payload: dict[str, Any]) -> str:
    GATE.wait(30)
    return "too late"


@job("overdue.deaf_async", timeout=0.1, **OPTIONS)
async def deaf_async(ctx: JobContext, payload: dict[str, Any]) -> str:
    while not GATE.is_set():
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            continue  # what nobody should do
    return "too late"


@job("overdue.sleeper", **OPTIONS)
async def sleeper(ctx: JobContext, payload: dict[str, Any]) -> None:
    try:
        await asyncio.sleep(30)
    finally:
        for step in range(payload.get("steps", 0)):
            ctx.log(f"step {step}")
            await asyncio.sleep(0.02)
        ctx.log("tidied up")


@pytest.fixture
def bench(settings: Any) -> Iterator[Bench]:
    settings.OPSCHED = {**settings.OPSCHED, "KILL_GRACE_SECONDS": 0.1, "MAX_ABANDONED": 1}
    GATE.clear()
    made = Bench(concurrency=1)
    yield made
    GATE.set()
    eventually(lambda: not made.executor.left_behind())
    made.close()


def overdue(executor: Executor) -> tuple[Overdue, Counter[str]]:
    stats: Counter[str] = Counter()
    loop = Overdue(executor=executor, stats=lambda: stats, wake=lambda: None, on_death=lambda *_: None)
    return loop, stats


def give_up_one(bench: Bench, kind: str) -> Job:
    """Run a job of the kind until it has been given up."""
    submitted = jobs.submit(kind)
    bench.round()
    loop, _ = overdue(bench.executor)
    eventually(lambda: _tick(loop))
    return bench.until(submitted.id, "retryable")


def _tick(loop: Overdue) -> int:
    try:
        return loop.tick()
    except TooManyLeftBehind:
        return 1


@pytest.mark.parametrize("kind", ["overdue.deaf", "overdue.deaf_async"])
def test_a_handler_that_does_not_stop_is_left_behind_and_its_place_filled(bench: Bench, kind: str) -> None:
    late = give_up_one(bench, kind)
    attempt = Attempt.objects.get(job=late)
    assert (attempt.outcome, attempt.error_class) == ("failed", "JobTimeout")
    assert "was left behind" in attempt.message
    assert bench.executor.busy_seconds() > 0.2, "its time counts, or it would be taken for a job of no length"
    assert bench.executor.left_behind() == 1
    # The only place of its kind is free again, though the first handler still holds on.
    for other in ("test.echo", "test.async"):
        assert bench.until(jobs.submit(other).id, "completed").attempt == 1
    GATE.set()
    eventually(lambda: not bench.executor.left_behind())
    bench.round()
    late.refresh_from_db()
    assert (late.state, late.result) == ("retryable", None)
    assert Attempt.objects.filter(job=late).count() == 1
    assert bench.until(jobs.submit("test.echo", {"n": 1}).id, "completed").result == {"n": 1}


def test_without_it_the_only_thread_is_held_for_good(bench: Bench) -> None:
    """The negative control."""
    jobs.submit("overdue.deaf")
    bench.round()
    eventually(bench.executor.running)
    behind = jobs.submit("test.echo")
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        bench.round()
    assert Job.objects.get(pk=behind.id).state == "available"


def test_too_many_left_behind_end_the_worker(bench: Bench) -> None:
    give_up_one(bench, "overdue.deaf")
    jobs.submit("overdue.deaf")
    bench.round()
    loop, stats = overdue(bench.executor)

    def ended_by() -> str:
        try:
            loop.tick()
        except TooManyLeftBehind as error:
            return str(error)
        return ""

    assert "2 handlers" in eventually(ended_by)
    assert stats["abandoned"] == 1
    assert loop.tick() == 0, "said once"


def test_a_handler_that_stops_in_time_has_the_say(bench: Bench) -> None:
    """Between the look at the clock and the giving up, the handler may end: one of the two records it."""
    jobs.submit("overdue.deaf")
    bench.round()
    context = eventually(lambda: list(bench.executor.running().values()))[0]
    assert context.end()
    time.sleep(0.3)
    assert bench.executor.give_up_overdue(grace=0.0) == []
    assert bench.executor.left_behind() == 0


def test_an_async_handler_is_cancelled_when_somebody_asks(bench: Bench) -> None:
    submitted = jobs.submit("overdue.sleeper")
    bench.round()
    eventually(bench.executor.running)
    bench.executor.request_cancel(submitted.id, "wrong file")
    ended: Any = bench.until(submitted.id, "cancelled")
    assert ended.closed_row.reason == "wrong file"
    assert [report[-1] for report in bench.executor.reports()] == ["tidied up"]


def test_an_async_handler_that_was_cancelled_tidies_up_undisturbed(bench: Bench) -> None:
    """The heartbeat tells of the request once a second, for as long as the job runs."""
    submitted = jobs.submit("overdue.sleeper", {"steps": 5})
    bench.round()
    eventually(bench.executor.running)
    said: list[str] = []

    def has_tidied_up() -> bool:
        bench.executor.request_cancel(submitted.id, "wrong file")
        said.extend(report[-1] for report in bench.executor.reports())
        return "tidied up" in said

    eventually(has_tidied_up)
    assert said == [*(f"step {step}" for step in range(5)), "tidied up"]
    assert bench.until(submitted.id, "cancelled").state == "cancelled"
