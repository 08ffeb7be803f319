"""What the event log costs: the same drain with and without events, in turn.

    python -m benchmarks.events [--jobs 100000] [--rounds 3] [--processes 2]

Without: `benchmarks.quiet` stands for manage.py, whose workers neither write nor encode them. Two figures: by the
clock, and in processor time (workers and server), which other work on the machine moves less.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter

from benchmarks.flow import Drain, drain, enqueue_bulk
from benchmarks.ground import prepared, query
from benchmarks.report import Row, finish, say, spread

__all__: list[str] = []

QUIET = ("-m", "benchmarks.quiet")


def told() -> Counter[str]:
    """How often the log tells each kind of event."""
    found = query("SELECT items -> 0 ->> 0, count(*) FROM notifications_event GROUP BY 1")
    return Counter(dict(found))


def both(jobs: int, processes: int) -> tuple[Drain, Drain]:
    enqueue_bulk(jobs)
    before = told()
    quiet = drain(processes, program=QUIET)
    appended = told() - before
    # A pause, a resume and the lives of the workers are told, and no change of a job.
    if any(kind.startswith("job.") for kind in appended):
        raise AssertionError(f"the quiet worker told {appended}: benchmarks/quiet.py lags behind the store")
    enqueue_bulk(jobs)
    before = told()
    telling = drain(processes)
    missing = {"job.started", "job.completed"} - set(told() - before)
    if missing:
        raise AssertionError(f"the log has no {missing} of the drain that was to tell them")
    return quiet, telling


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    clock, processor = [], []
    with prepared():
        for _ in range(options.rounds):
            quiet, telling = both(options.jobs, options.processes)
            clock.append(1 - telling.rate / quiet.rate)
            processor.append(
                (telling.worker_us + telling.postgres_us) / (quiet.worker_us + quiet.postgres_us) - 1
            )
            say("without", quiet, "with", telling)
    rows = [
        Row(
            what=f"the event log's cost in a drain, {options.processes} processes: share of the rate",
            figure=spread(clock),
            bar="at most 0.15",
            met=statistics.median(clock) <= 0.15,
        ),
        Row(what="the same in processor time of workers and server", figure=spread(processor)),
    ]
    finish("events", rows, rate_lost=clock, processor_time_added=processor)


if __name__ == "__main__":
    main()
