"""celery on Redis, one solo process a worker (no fork between it and a job), results not kept."""

from __future__ import annotations

import time

import runtime
from celery import Celery

app = Celery("bench", broker=runtime.REDIS)
app.conf.update(
    task_ignore_result=True,
    task_default_queue="bench-celery",
    worker_prefetch_multiplier=100,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,  # the answers to our questions are printed
    broker_connection_retry_on_startup=False,
)


@app.task(name="noop")
def noop() -> None:
    runtime.noop()


@app.task(name="stamp")
def stamp(began: float) -> None:
    runtime.stamp(began)


def setup() -> None:
    app.control.purge()


def bulk(count: int) -> float:
    return one(count, 0)


def one(count: int, warm: float) -> float:
    return runtime.timed_plainly(noop.delay, count, warm)


def paced(count: int, gap: float) -> float:
    began = time.perf_counter()
    for _ in range(count):
        stamp.delay(time.time())
        time.sleep(gap)
    return time.perf_counter() - began


def work() -> None:
    app.Worker(
        pool="solo",
        loglevel="ERROR",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    ).start()


if __name__ == "__main__":
    runtime.main(globals())
