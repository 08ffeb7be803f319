"""Timers at work: jobs due at a thousand moments a second start on time, never early.

    python -m benchmarks.lateness [--rate 1000] [--seconds 20] [--processes 2]

Jobs are submitted ahead with moments spread evenly; the handler's first line tells when it ran, by the same clock. The
database's own record of the start is held against `scheduled_at` as well. What a resident timer takes in memory is in
`benchmarks.structures`.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta

from benchmarks.flow import percentile
from benchmarks.ground import prepared, query, until, workers
from benchmarks.report import Row, finish

__all__: list[str] = []

AHEAD = 5.0
BATCH = 5_000


def submit_ahead(count: int, rate: int) -> None:
    from jobs.submit import JobSpec, submit_many

    # So far ahead that the last is submitted before the first is due.
    first = datetime.now(UTC) + timedelta(seconds=AHEAD + count / 4_000)
    moments = [first + timedelta(seconds=number / rate) for number in range(count)]
    for begin in range(0, count, BATCH):
        submit_many([JobSpec(kind="bench.stamp", scheduled_at=at) for at in moments[begin : begin + BATCH]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=1_000, help="due moments a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    count = options.rate * options.seconds
    with prepared(), workers(processes=options.processes):
        submit_ahead(count, options.rate)
        time.sleep(AHEAD + count / 4_000)
        done = "SELECT count(*) FROM jobs_job WHERE state = 'completed'"
        until(lambda: query(done)[0][0] == count, seconds=120.0 + options.seconds)
        told = query(
            "SELECT ((result #>> '{}')::float8 - extract(epoch FROM scheduled_at)::float8) * 1000, "
            "started_at < scheduled_at FROM jobs_job"
        )
    late = sorted(row[0] for row in told)
    early = sum(1 for row in told if row[0] < 0 or row[1])
    p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
    rows = [
        Row(
            what=f"lateness at {options.rate:,} due a second, ms p99 (p50 {p50:.1f})",
            figure=f"{p99:.1f}",
            bar="at most 50",
            met=p99 <= 50,
        ),
        Row(what="of them early", figure=str(early), bar="none", met=early == 0),
    ]
    finish("lateness", rows, p50=p50, p99=p99, most=late[-1], early=early)


if __name__ == "__main__":
    main()
