"""The end of the loop of async jobs: what is cancelled ends in order, and what does not end is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.executor import Executor
from jobs.registry import Registry, registry
from jobs.running import coroutines
from tests.jobs import kinds as declared  # noqa: F401 - declares test.echo
from tests.jobs.executing import claimed


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> asyncio.AbstractEventLoop:
    monkeypatch.setattr(coroutines, "_never_ended", set())
    return asyncio.new_event_loop()


def begun(loop: asyncio.AbstractEventLoop, *answers: Any) -> None:
    for answer in answers:
        loop.create_task(answer)
    loop.run_until_complete(asyncio.sleep(0))


def test_a_handler_that_is_cancelled_tidies_up(loop: asyncio.AbstractEventLoop) -> None:
    told: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            loop.create_task(also())
            told.append("tidied up")

    async def also() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            told.append("what it began")

    begun(loop, tidy())
    coroutines._end(loop, time.monotonic() + 5)
    assert told == ["tidied up", "what it began"]
    assert loop.is_closed()
    assert not coroutines._never_ended


def test_what_does_not_end_is_kept_and_never_ended_by_the_collector(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    where: list[str] = []

    async def stubborn() -> None:
        try:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
        finally:
            where.append(threading.current_thread().name)

    begun(loop, stubborn())
    began = time.monotonic()
    with caplog.at_level(logging.ERROR, "asyncio"):
        coroutines._end(loop, time.monotonic() + 0.1)
        assert time.monotonic() - began < 5
        gc.collect()
        assert where == []
        assert "destroyed" not in caplog.text
        # The control: without being kept it is ended wherever the collector happens to run.
        coroutines._never_ended.clear()
        gc.collect()
    assert where == ["MainThread"]
    assert "destroyed" in caplog.text


def test_one_that_breaks_out_of_the_loop_does_not_keep_the_others(loop: asyncio.AbstractEventLoop) -> None:
    told: list[str] = []

    async def breaks() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            loop.stop()

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            told.append("tidied up")

    begun(loop, breaks(), tidy())
    coroutines._end(loop, time.monotonic() + 5)
    assert told == ["tidied up"]


def test_generators_that_do_not_end_are_not_waited_for(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def stubborn() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(60)

    kept: list[Any] = []

    async def handler() -> None:
        kept.append(stubborn())
        await anext(kept[0])

    begun(loop, handler())
    began = time.monotonic()
    coroutines._end(loop, time.monotonic() + 0.1)
    assert time.monotonic() - began < 5
    assert loop.is_closed()
    assert "did not end in time" in caplog.text


@pytest.mark.parametrize("seconds", [0.05, 60])
def test_the_executor_stops_in_time_and_handlers_have_most_of_it(seconds: float) -> None:
    before = len(coroutines._never_ended)
    told: list[str] = []
    begun = threading.Event()

    async def tidy(*_: Any) -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(seconds)
            told.append("tidied up")

    kinds = Registry()
    kinds.add(replace(registry.get("test.echo"), name="tidy", fn=tidy, is_async=True, isolation="thread"))
    executor = Executor(registry=kinds, concurrency=1, wake=lambda: None)
    executor.start()
    executor.put([claimed("tidy")])
    assert begun.wait(10)
    thread = executor._coroutines._thread
    assert thread is not None
    executor.stop(timeout=2.0)
    assert not thread.is_alive()
    assert told == (["tidied up"] if seconds < 1 else [])
    assert len(coroutines._never_ended) - before == (0 if seconds < 1 else 1)
