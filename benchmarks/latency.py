"""How soon a job starts: on an idle worker, and at 300 jobs a second.

    python -m benchmarks.latency [--starts 1000] [--seconds 20]

Milliseconds from the call of submit() to the handler's first line, both processes on this machine's clock. The paced
submitter submits one by one; where one call takes longer than its turn it falls behind, which is told.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.flow import percentile, start_latency
from benchmarks.ground import prepared
from benchmarks.report import Row, finish

__all__: list[str] = []

RATE = 300


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=20, help="of load")
    options = parser.parse_args()
    with prepared():
        idle = start_latency(options.starts)
        began = time.monotonic()
        busy = start_latency(RATE * options.seconds, gap=1 / RATE)
        pace = len(busy) / (time.monotonic() - began)
    p50, p99, under_load = percentile(idle, 0.5), percentile(idle, 0.99), percentile(busy, 0.99)
    rows = [
        Row(what="start of an idle worker, ms p50", figure=f"{p50:.1f}", bar="at most 3", met=p50 <= 3),
        Row(what="start of an idle worker, ms p99", figure=f"{p99:.1f}", bar="at most 8", met=p99 <= 8),
        Row(
            what=f"start at {RATE} jobs/s ({pace:.0f} with the worker's start and end), ms p99",
            figure=f"{under_load:.1f}",
            bar="at most 30",
            met=under_load <= 30,
        ),
    ]
    finish("latency", rows, idle=[p50, p99], busy_p99=under_load, pace=pace)


if __name__ == "__main__":
    main()
