"""The end of the loop of async jobs: what is cancelled ends in order, and what does not end is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from typing import Any

import pytest

from jobs.running import coroutines


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
    coroutines._end(loop)
    assert told == ["tidied up", "what it began"]
    assert loop.is_closed()
    assert not coroutines._never_ended


def test_what_does_not_end_is_kept_and_never_ended_by_the_collector(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(coroutines, "_ENDING_SECONDS", 0.1)
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
        coroutines._end(loop)
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
    coroutines._end(loop)
    assert told == ["tidied up"]
