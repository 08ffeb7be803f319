"""1, 2, 4 and 8 worker processes on one queue: what contention costs beyond the cores.

    python -m benchmarks.scaling [--jobs 300000] [--rounds 3] [--processes 1,2,4,8]

More processes than cores cannot be faster; the bar is that they are not slower: each count keeps 90 % of the best rate
of a smaller one. Processor time a job says what the others' presence adds.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.flow import Drain, drain, enqueue_bulk
from benchmarks.ground import prepared
from benchmarks.report import Row, finish, say, spread

__all__: list[str] = []

KEPT = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=int, default=300_000, help="a drain: of seconds, or their start counts"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", default="1,2,4,8")
    options = parser.parse_args()
    counts = [int(word) for word in options.processes.split(",")]
    found: dict[int, list[Drain]] = {count: [] for count in counts}
    with prepared():
        for _ in range(options.rounds):
            for count in counts:
                enqueue_bulk(options.jobs)
                found[count].append(drain(count))
                say(count, "processes:", found[count][-1])
    rows, best = [], 0.0
    for count in counts:
        rates = [one.rate for one in found[count]]
        middle = statistics.median(rates)
        cost = statistics.median(one.worker_us + one.postgres_us for one in found[count])
        rows.append(
            Row(
                what=f"drain, {count} worker processes, jobs/s",
                figure=f"{spread(rates, digits=0)}; {cost:.0f} µs of processor time a job",
                bar=f"at least {KEPT:.0%} of the best of fewer" if best else "",
                met=middle >= KEPT * best if best else None,
            )
        )
        best = max(best, middle)
    finish("scaling", rows, rates={count: [one.rate for one in found[count]] for count in counts})


if __name__ == "__main__":
    main()
