"""The executor alone, for its tests: kinds out of functions, claimed jobs, and what came out of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.executor import Ended, Executor
from jobs.registry import JobKind, Registry
from jobs.store.values import ClaimedJob
from tests.support import eventually

__all__ = ["Make", "claimed", "ends", "executors", "quick", "quick_async"]

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


@contextmanager
def executors() -> Iterator[Make]:
    """make(fn, …, concurrency=2) runs each function as the kind of its name."""
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
