"""taskiq on a Redis list, which is its fastest broker (a worker that dies loses what it holds)."""

from __future__ import annotations

import asyncio
import time

import runtime
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker

# Without the client's own time-out, which ends a worker that has had nothing to do for five seconds.
broker = ListQueueBroker(runtime.REDIS, queue_name="bench-taskiq", socket_timeout=None)


@broker.task(task_name="noop")
async def noop() -> None:
    runtime.noop()


@broker.task(task_name="stamp")
async def stamp(began: float) -> None:
    runtime.stamp(began)


async def setup() -> None:
    await broker.startup()


async def bulk(count: int) -> float:
    """It has no call for many; this many sent at once is what it can do."""
    await broker.startup()
    began = time.perf_counter()
    for _ in range(0, count, 50):
        await asyncio.gather(*(noop.kiq() for _ in range(50)))
    return time.perf_counter() - began


async def one(count: int, warm: float) -> float:
    await broker.startup()
    return await runtime.timed(noop.kiq, count, warm)


async def paced(count: int, gap: float) -> float:
    await broker.startup()
    began = time.perf_counter()
    for _ in range(count):
        await stamp.kiq(time.time())
        await asyncio.sleep(gap)
    return time.perf_counter() - began


async def work() -> None:
    await run_receiver_task(broker, run_startup=True, max_async_tasks=100, max_prefetch=100)


if __name__ == "__main__":
    runtime.main(globals())
