"""Whatever a handler raises or answers ends its own job: not its thread, not the loop, not the worker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from jobs import completion
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.outcomes import Completed, Failed, Outcome, Reject
from tests.jobs.executing import Make, claimed, ends, executors, quick, quick_async


@pytest.fixture
def executor() -> Iterator[Make]:
    with executors() as make:
        yield make


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
