"""dramatiq on Redis, eight threads, its default middleware without the metrics server."""

from __future__ import annotations

import threading
import time

import dramatiq
import runtime
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=runtime.REDIS)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def noop() -> None:
    runtime.noop()


@dramatiq.actor(queue_name="bench")
def stamp(began: float) -> None:
    runtime.stamp(began)


def setup() -> None:
    broker.flush_all()


def bulk(count: int) -> float:
    return one(count, 0)


def one(count: int, warm: float) -> float:
    return runtime.timed_plainly(noop.send, count, warm)


def paced(count: int, gap: float) -> float:
    began = time.perf_counter()
    for _ in range(count):
        stamp.send(time.time())
        time.sleep(gap)
    return time.perf_counter() - began


def work() -> None:
    dramatiq.Worker(broker, worker_threads=8).start()
    threading.Event().wait()


if __name__ == "__main__":
    runtime.main(globals())
