"""The executor alone: whatever a handler does, every job that went in comes out, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.context import JobContext
from tests.jobs.executing import Make, claimed, ends, executors, quick
from tests.support import eventually


@pytest.fixture
def executor() -> Iterator[Make]:
    with executors() as make:
        yield make


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
