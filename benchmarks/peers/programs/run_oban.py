"""oban-py with a queue wide enough that a fetch brings many jobs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import runtime
from oban import Oban, worker
from oban.schema import install

BULK = 1_000
LIMIT = 200


@worker(queue="default")
class Noop:
    async def process(self, job: Any) -> None:
        runtime.noop()


@worker(queue="default")
class Stamp:
    async def process(self, job: Any) -> None:
        runtime.stamp(job.args["began"])


async def pool() -> Any:
    return await Oban.create_pool(runtime.DSN, min_size=2, max_size=10)


async def setup() -> None:
    await install(await pool())


async def bulk(count: int) -> float:
    oban = Oban(pool=await pool())
    began = time.perf_counter()
    for _ in range(0, count, BULK):
        await oban.enqueue_many([Noop.new({}) for _ in range(BULK)])
    return time.perf_counter() - began


async def one(count: int, warm: float) -> float:
    oban = Oban(pool=await pool())
    return await runtime.timed(lambda: oban.enqueue(Noop.new({})), count, warm)


async def paced(count: int, gap: float) -> float:
    oban = Oban(pool=await pool())
    began = time.perf_counter()
    for _ in range(count):
        await oban.enqueue(Stamp.new({"began": time.time()}))
        await asyncio.sleep(gap)
    return time.perf_counter() - began


async def work() -> None:
    async with Oban(pool=await pool(), queues={"default": LIMIT}):
        await asyncio.Event().wait()


if __name__ == "__main__":
    import run_oban  # workers are found by the name of their module

    runtime.main(vars(run_oban))
