"""How soon a job starts: on an idle worker, and at 300 jobs a second.

    python -m benchmarks.latency [--starts 1000] [--seconds 20]

Milliseconds from the call of submit() to the handler's first line, both processes on this machine's clock. The paced
submitter submits one by one; where one call takes longer than its turn it falls behind, which is told.

Beside it the least that such a start can take here: two bare loops, of which one inserts a row and notifies, and the
other, that listens, inserts a row: two durable commits, three round trips, four processes to be woken in turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import select
import time
from typing import Any

from benchmarks.flow import percentile, start_latency
from benchmarks.ground import prepared, query
from benchmarks.report import Row, finish

__all__: list[str] = []

RATE = 300


def bare_starts(count: int, *, gap: float = 0.06) -> list[float]:
    """From the first insert to the end of the other's, in milliseconds, sorted."""
    from django.db import connections

    from notifications.pg import connect

    query("CREATE TABLE bench_bare (number int)")
    connections.close_all()
    context = multiprocessing.get_context("fork")
    times, ready = context.Queue(), context.Event()
    listener = context.Process(target=_listen, args=(count, ready, times))
    listener.start()
    if not ready.wait(30):
        raise AssertionError("the bare loop that listens did not begin: see above")
    began = []
    with connect(name="opsched bench bare") as connection:
        connection.prepare_threshold = 0
        for number in range(count):
            time.sleep(gap)
            began.append(time.time())
            connection.execute("INSERT INTO bench_bare VALUES (%s)", [number])
            connection.execute("SELECT pg_notify('bench_bare', '')")
    started = times.get(timeout=30)
    listener.join()
    query("DROP TABLE bench_bare")
    return sorted((after - before) * 1_000 for before, after in zip(began, started, strict=True))


def _listen(count: int, ready: Any, times: Any) -> None:
    from notifications.pg import connect

    told: list[float] = []
    with connect(name="opsched bench listen") as ears, connect(name="opsched bench hands") as hands:
        hands.prepare_threshold = 0
        ears.execute("LISTEN bench_bare")
        ready.set()
        while len(told) < count:
            select.select([ears], [], [])
            for _ in ears.notifies(timeout=0):
                hands.execute("INSERT INTO bench_bare VALUES (%s)", [len(told)])
                told.append(time.time())
    times.put(told)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=20, help="of load")
    options = parser.parse_args()
    with prepared():
        bare = bare_starts(options.starts)
        idle = start_latency(options.starts).late
        busy = start_latency(RATE * options.seconds, rate=RATE)
    bare50, bare99 = percentile(bare, 0.5), percentile(bare, 0.99)
    p50, p99, under_load = percentile(idle, 0.5), percentile(idle, 0.99), percentile(busy.late, 0.99)
    rows = [
        Row(what="the same from bare statements, ms p50 (p99)", figure=f"{bare50:.1f} ({bare99:.1f})"),
        Row(what="start of an idle worker, ms p50", figure=f"{p50:.1f}", bar="at most 3", met=p50 <= 3),
        Row(what="start of an idle worker, ms p99", figure=f"{p99:.1f}", bar="at most 8", met=p99 <= 8),
        Row(
            what=f"start at {RATE} jobs/s ({busy.rate:.0f} were reached), ms p99",
            figure=f"{under_load:.1f}",
            bar="at most 30",
            met=under_load <= 30 and busy.rate >= 0.95 * RATE,
        ),
    ]
    finish("latency", rows, idle=[p50, p99], bare=[bare50, bare99], busy_p99=under_load, pace=busy.rate)


if __name__ == "__main__":
    main()
