"""pgqueuer at its best: asyncpg, completions in batches; the batch is tried out by the caller (PEER_BATCH)."""

from __future__ import annotations

import asyncio
import os
import time

import asyncpg
import runtime
from pgqueuer import QueueManager
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

BULK = 1_000


async def connect() -> Queries:
    connection = await asyncpg.connect(host=runtime.HOST, user=runtime.USER, database=runtime.DATABASE)
    return Queries(AsyncpgDriver(connection))


async def setup() -> None:
    await (await connect()).install()


async def bulk(count: int) -> float:
    queries = await connect()
    began = time.perf_counter()
    for _ in range(0, count, BULK):
        await queries.enqueue(["noop"] * BULK, [None] * BULK, [0] * BULK)
    return time.perf_counter() - began


async def one(count: int, warm: float) -> float:
    queries = await connect()
    return await runtime.timed(lambda: queries.enqueue("noop", None), count, warm)


async def paced(count: int, gap: float) -> float:
    queries, began = await connect(), time.perf_counter()
    for _ in range(count):
        await queries.enqueue("stamp", repr(time.time()).encode())
        await asyncio.sleep(gap)
    return time.perf_counter() - began


async def work() -> None:
    manager = QueueManager(await connect())

    @manager.entrypoint("noop")
    async def noop(job: Job) -> None:
        runtime.noop()

    @manager.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        runtime.stamp(float(job.payload or b"0"))

    await manager.run(batch_size=int(os.environ.get("PEER_BATCH", "500")))


if __name__ == "__main__":
    runtime.main(globals())
