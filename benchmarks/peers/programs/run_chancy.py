"""chancy with its asynchronous executor and many jobs at once: what ended frees its place once a second."""

from __future__ import annotations

import asyncio
import time

import runtime
from chancy import Chancy, Job, Queue, Worker

BULK = 1_000
QUEUE = Queue("default", concurrency=4_000, executor=Chancy.Executor.Async, polling_interval=1)


async def noop() -> None:
    runtime.noop()


async def stamp(*, began: float) -> None:
    runtime.stamp(began)


def application() -> Chancy:
    return Chancy(runtime.DSN)


async def setup() -> None:
    async with application() as chancy:
        await chancy.migrate()
        await chancy.declare(QUEUE, upsert=True)


async def bulk(count: int) -> float:
    async with application() as chancy:
        jobs = [Job.from_func(noop)] * count
        began = time.perf_counter()
        async for _ in chancy.push_many(jobs, batch_size=BULK):
            pass
        return time.perf_counter() - began


async def one(count: int, warm: float) -> float:
    async with application() as chancy:
        return await runtime.timed(lambda: chancy.push(Job.from_func(noop)), count, warm)


async def paced(count: int, gap: float) -> float:
    async with application() as chancy:
        began = time.perf_counter()
        for _ in range(count):
            await chancy.push(Job.from_func(stamp, kwargs={"began": time.time()}))
            await asyncio.sleep(gap)
        return time.perf_counter() - began


async def work() -> None:
    async with application() as chancy, Worker(chancy, register_signal_handlers=False) as worker:
        await worker.wait_for_shutdown()


if __name__ == "__main__":
    # Jobs are found by module and name, and as a program this module is called __main__.
    import run_chancy

    runtime.main(vars(run_chancy))
