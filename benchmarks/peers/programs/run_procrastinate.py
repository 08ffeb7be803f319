"""procrastinate on psycopg's pool, many asynchronous jobs at once."""

from __future__ import annotations

import asyncio
import time

import procrastinate
import runtime

BULK = 1_000
CONCURRENCY = 20

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=runtime.DSN, min_size=2, max_size=20)
)


@app.task(name="noop")
async def noop() -> None:
    runtime.noop()


@app.task(name="stamp")
async def stamp(began: float) -> None:
    runtime.stamp(began)


async def setup() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def bulk(count: int) -> float:
    async with app.open_async():
        began = time.perf_counter()
        for _ in range(0, count, BULK):
            await noop.batch_defer_async(*[{}] * BULK)
        return time.perf_counter() - began


async def one(count: int, warm: float) -> float:
    async with app.open_async():
        return await runtime.timed(noop.defer_async, count, warm)


async def paced(count: int, gap: float) -> float:
    async with app.open_async():
        began = time.perf_counter()
        for _ in range(count):
            await stamp.defer_async(began=time.time())
            await asyncio.sleep(gap)
        return time.perf_counter() - began


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


if __name__ == "__main__":
    runtime.main(globals())
