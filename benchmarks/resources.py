"""What a worker takes: memory over a million jobs, and the processor while it is idle.

    python -m benchmarks.resources [--jobs 1000000] [--idle 30]

Memory is the resident set of the one worker process, after each tenth of the jobs; flat means that the last tenth's is
within 5 % and 10 MB of the third's (before that its caches fill). The idle worker has run all of them and waits.
"""

from __future__ import annotations

import argparse
import time

import psutil

from benchmarks.flow import enqueue_bulk
from benchmarks.ground import cpu_seconds, prepared, query, until, workers
from benchmarks.report import Row, finish, say

__all__: list[str] = []

TENTHS = 10
MB = 1024 * 1024
BEATS = "SELECT sum(beat) FROM jobs_workerprocess WHERE state = 'live'"


def memory_over(worker: psutil.Process, jobs: int) -> list[float]:
    """MB after each tenth."""
    from jobs.models import Claim, Ready

    sizes = []
    for _ in range(TENTHS):
        enqueue_bulk(jobs // TENTHS)
        until(lambda: not Ready.objects.exists() and not Claim.objects.exists(), seconds=600.0)
        sizes.append(worker.memory_info().rss / MB)
        say(f"{sizes[-1]:.1f} MB")
    return sizes


def idle_share(worker: psutil.Process, seconds: float) -> float:
    """Of one core."""
    time.sleep(3.0)
    beats = query(BEATS)
    first, began = cpu_seconds(worker), time.monotonic()
    time.sleep(seconds)
    share = (cpu_seconds(worker) - first) / (time.monotonic() - began)
    if query(BEATS) == beats:
        raise AssertionError("the worker was not idle: it did nothing, not even tell that it lives")
    return share


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds")
    options = parser.parse_args()
    with prepared(), workers(processes=1) as worker:
        sizes = memory_over(worker, options.jobs)
        share = idle_share(worker, options.idle)
        completed = query("SELECT count(*) FROM jobs_job WHERE state = 'completed'")[0][0]
    if completed != options.jobs // TENTHS * TENTHS:
        raise AssertionError(f"{completed:,} of {options.jobs:,} jobs were completed")
    growth = sizes[-1] - sizes[2]
    rows = [
        Row(
            what=f"a worker's memory after {options.jobs:,} jobs, MB (after three tenths: {sizes[2]:.1f})",
            figure=f"{sizes[-1]:.1f}",
            bar="flat",
            met=growth <= min(10.0, 0.05 * sizes[2]),
        ),
        Row(
            what="an idle worker's share of a core",
            figure=f"{share:.2%}",
            bar="at most 1 %",
            met=share <= 0.01,
        ),
    ]
    finish("resources", rows, megabytes=sizes, idle=share)


if __name__ == "__main__":
    main()
