"""The executor alone: whatever a handler does, every job that went in comes out, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from jobs import completion
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.executor import Ended, Executor
from jobs.outcomes import Completed, Failed, Outcome, Reject
from jobs.registry import JobKind, Registry
from jobs.store.values import ClaimedJob
from tests.support import eventually

Make = Callable[..., Executor]


def claimed(kind: str, number: int = 1) -> ClaimedJob:
    return ClaimedJob(
        id=number,
        kind=kind,
        queue="q",
        attempt=1,
        max_attempts=3,
        payload="{}",
        options=None,
        workflow_id=None,
        task="",
    )


@pytest.fixture
def executor() -> Iterator[Make]:
    """executor(fn, …, concurrency=2) runs each function as the kind of its name."""
    made: list[Executor] = []

    def make(*functions: Callable[..., Any], concurrency: int = 2) -> Executor:
        kinds = Registry()
        for fn in functions:
            kinds.add(
                JobKind(
                    name=fn.__name__,
                    fn=fn,
                    queue="q",
                    priority=0,
                    max_attempts=3,
                    backoff=Fixed(seconds=1),
                    timeout=None,
                    payload_model=None,
                    is_async=asyncio.iscoroutinefunction(fn),
                    description="",
                )
            )
        made.append(Executor(registry=kinds, concurrency=concurrency, wake=lambda: None))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def ends(executor: Executor, count: int) -> list[Ended]:
    found: list[Ended] = []

    def all_in() -> bool:
        found.extend(executor.collect())
        return len(found) >= count

    eventually(all_in)
    return found


def quick(ctx: JobContext, payload: dict[str, Any]) -> None:
    return None


async def quick_async(ctx: JobContext, payload: dict[str, Any]) -> None:
    return None


def test_taking_jobs_back_never_waits_for_one_that_a_thread_has_just_begun(executor: Make) -> None:
    """Between "is it empty?" and "give me one" a thread took the last one, and the scheduler stood still for ever."""
    one = executor(quick, concurrency=4)
    came_back = 0

    def fill_and_take_back() -> None:
        nonlocal came_back
        for number in range(3_000):
            one.put([claimed("quick", number)] * 3)
            came_back += len(one.take_back())

    thread = threading.Thread(target=fill_and_take_back, daemon=True)
    patient = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        thread.start()
        thread.join(20)
    finally:
        sys.setswitchinterval(patient)
    assert not thread.is_alive(), "taking back waits for a job that is gone"
    ends(one, 9_000 - came_back)


def test_jobs_that_are_taken_back_keep_their_order(executor: Make) -> None:
    gate = threading.Event()

    def hold(ctx: JobContext, payload: dict[str, Any]) -> None:
        gate.wait(10)

    async def hold_async(ctx: JobContext, payload: dict[str, Any]) -> None:
        await asyncio.to_thread(gate.wait, 10)

    one = executor(hold, hold_async, concurrency=1)
    try:
        one.put([claimed("hold", 1), claimed("hold_async", 2)])
        eventually(lambda: len(one.running()) == 2)
        one.put([claimed("hold", number) for number in (3, 4, 5)])
        one.put([claimed("hold_async", number) for number in (6, 7, 8)])
        back = [job.id for job in one.take_back()]
    finally:
        gate.set()
    assert [job for job in back if job < 6] == [3, 4, 5]
    assert [job for job in back if job >= 6] == [6, 7, 8]


class Unsayable(Exception):
    """Its text ends whatever asks for it."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Unspeakable(Exception):
    """Every attribute it does not have is an error of another kind, which `traceback` does not expect."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


def broken_syntax_error() -> SyntaxError:
    return SyntaxError("odd", ("file.py", 1, 1, 5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made",
    [
        Unsayable,
        Unspeakable,
        broken_syntax_error,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        RecursionError,
    ],
)
@pytest.mark.parametrize("how", ["sync", "async"])
def test_whatever_is_raised_ends_the_job_and_not_its_thread(executor: Make, made: Any, how: str) -> None:
    def bad(ctx: JobContext, payload: dict[str, Any]) -> None:
        raise made()

    async def bad_async(ctx: JobContext, payload: dict[str, Any]) -> None:
        raise made()

    one = executor(bad, bad_async, quick, quick_async, concurrency=1)
    ending, after = ("bad", "quick") if how == "sync" else ("bad_async", "quick_async")
    one.put([claimed(ending, 1), claimed(after, 2)])
    found = {job.id: outcome for job, outcome in ends(one, 2)}
    failed = found[1]
    assert isinstance(failed, Failed)
    assert failed.error_class == type(made()).__name__
    assert not one.running()


def test_an_answer_that_cannot_be_looked_at_ends_the_job_and_not_its_thread(executor: Make) -> None:
    def lazy(ctx: JobContext, payload: dict[str, Any]) -> Any:
        return SimpleLazyObject(lambda: 1 / 0)

    one = executor(lazy, quick, concurrency=1)
    one.put([claimed("lazy", 1), claimed("quick", 2)])
    found = {job.id: outcome for job, outcome in ends(one, 2)}
    assert isinstance(found[1], Failed)
    assert found[1].error_class == "ZeroDivisionError"


@pytest.mark.parametrize("handler", [quick, quick_async], ids=["thread", "loop"])
def test_what_breaks_around_a_handler_ends_the_job_and_not_what_runs_the_next(
    executor: Make, monkeypatch: pytest.MonkeyPatch, handler: Callable[..., Any]
) -> None:
    """Its worker lives, so nobody would rescue a job whose thread is gone."""
    one = executor(handler, concurrency=1)
    real, broken = one._attempts.begin, [OSError("too many open files")]

    def begin(*args: Any) -> Any:
        if broken:
            raise broken.pop()
        return real(*args)

    monkeypatch.setattr(one._attempts, "begin", begin)
    one.put([claimed(handler.__name__, 1), claimed(handler.__name__, 2)])
    found = {job.id: outcome for job, outcome in ends(one, 2)}
    failed = found[1]
    assert isinstance(failed, Failed)
    assert failed.message == "too many open files"
    assert isinstance(found[2], Completed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("how", ["a task that exits", "a stopped loop"])
def test_an_async_handler_cannot_end_the_loop_of_the_others(executor: Make, how: str) -> None:
    """They would stay running for ever under a worker that lives."""

    async def leave() -> None:
        raise SystemExit(1)

    kept: list[Any] = []

    async def vandal(ctx: JobContext, payload: dict[str, Any]) -> None:
        if how == "a stopped loop":
            asyncio.get_running_loop().stop()
        else:
            kept.append(asyncio.get_running_loop().create_task(leave()))
        await asyncio.sleep(0.05)

    one = executor(vandal, quick_async)
    one.put([claimed("vandal", 1)])
    ends(one, 1)
    one.put([claimed("quick_async", 2)])
    ends(one, 1)
    for task in kept:
        assert isinstance(task.exception(), SystemExit)


def test_a_handler_that_talks_without_end_does_not_fill_the_memory(executor: Make) -> None:
    """Nobody reads the reports while the database is away. The newest are kept, as in the database."""

    def talk(ctx: JobContext, payload: dict[str, Any]) -> None:
        for number in range(50_000):
            ctx.log(f"line {number}")

    one = executor(talk)
    one.put([claimed("talk")])
    ends(one, 1)
    told = one.reports()
    assert len(told) <= 20_000
    assert told[-1][4] == "line 49999"


def test_whatever_a_handler_gives_as_a_line_is_told_as_text(executor: Make) -> None:
    """`logging.WARNING` is a number, an exception is no text, and a huge line costs no more than it keeps."""

    def talk(ctx: JobContext, payload: dict[str, Any]) -> None:
        ctx.log(ValueError("a\x00\ud800b"), level=logging.WARNING)  # type: ignore[arg-type]
        ctx.log("x" * 5_000_000)
        ctx.progress(17, None)  # type: ignore[arg-type]
        ctx.progress(-1)

    one = executor(talk)
    one.put([claimed("talk")])
    ((_, outcome),) = ends(one, 1)
    assert isinstance(outcome, Completed), outcome
    first, second, word = one.reports()
    assert (first[3], first[4]) == ("30", "a\N{REPLACEMENT CHARACTER}?b")
    assert second[4] == f"{'x' * 4_000}… (5000000 characters)"
    assert word[2:] == (0.0, "")


def test_a_failure_is_told_even_when_it_cannot_be_described() -> None:
    told = completion.failure(Unspeakable("x"))
    assert isinstance(told, Failed)
    assert told.error_class == "Unspeakable"


# -- what the scheduler's own thread makes of an answer ----------------------------------------------------------------


class Moody(dict[str, Any]):
    """A result whose own methods fail."""

    def items(self) -> Any:
        raise KeyError("not today")


class Shy:
    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (Completed(Moody(a=1)), "InvalidOutcome"),
        (Reject([Shy()]), "InvalidOutcome"),  # type: ignore[list-item]
        (
            Failed(error_class="Odd\x00", message="m\x00", traceback="t\x00\ud800"),
            "Odd\N{REPLACEMENT CHARACTER}",
        ),
    ],
)
def test_an_answer_that_cannot_be_read_ends_the_job_and_not_the_worker(
    answer: Outcome, error_class: str
) -> None:
    told = completion.decide(
        claimed("k"), answer, backoff=lambda: Fixed(seconds=1), max_result=100, rng=random.Random(1)
    )
    assert told.error is not None
    assert told.error.error_class == error_class
    texts = (told.error.error_class, told.error.message, told.error.traceback)
    assert not any("\x00" in text or "\ud800" in text for text in texts)


@pytest.mark.parametrize("binds_again", [False, True])
def test_a_loss_while_another_thread_counts_is_not_forgotten(executor: Make, binds_again: bool) -> None:
    """The heartbeat counts too. The negative control: it binds the set that it has counted, which is the old one."""
    gate, began = threading.Event(), threading.Event()

    def slow(ctx: JobContext, payload: dict[str, Any]) -> None:
        began.set()
        gate.wait(20)

    made = executor(slow)
    made.put([claimed("slow")])
    assert began.wait(10)

    class Interrupted(set[JobContext]):
        def intersection_update(self, *others: Any) -> None:
            made.disown("the worker was declared lost")  # by the main thread, at this moment
            super().intersection_update(*others)

        def __iand__(self, other: Any) -> Any:  # type: ignore[misc]
            self.intersection_update(other)
            return self

    made._disowned = Interrupted()
    if binds_again:
        made._disowned &= made._attempts.inside
    else:
        made.disowned()
    assert len(made._disowned) == (0 if binds_again else 1)
    gate.set()


def test_an_attempt_that_was_lost_is_given_up_though_the_next_one_runs_beside_it(executor: Make) -> None:
    """The worker was declared lost, began anew, and claimed the same job again."""
    gate, began = threading.Event(), threading.Event()

    def deaf(ctx: JobContext, payload: dict[str, Any]) -> None:
        if ctx.attempt == 1:
            began.set()
            gate.wait(20)

    made = executor(deaf)
    made.put([replace(claimed("deaf"), stop_at=time.monotonic())])
    assert began.wait(10)
    made.disown("the worker was declared lost")
    made.put([replace(claimed("deaf"), attempt=2)])
    ends(made, 1)
    assert made.disowned() == 1
    assert [context.attempt for context in made.give_up_overdue(grace=0.0)] == [1]
    assert (made.disowned(), made.left_behind()) == (0, 1)
    gate.set()
