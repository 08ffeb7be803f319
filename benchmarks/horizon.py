"""What an open transaction costs that holds the xmin horizon: nothing that dies after its snapshot can be cleared away.

    python -m benchmarks.horizon [--seconds 180] [--processes 1]

Under a steady load (the queue kept filled): the rate for a while, then with an idle transaction that holds a snapshot,
then for a while without it again. The loss is taken against the mean of before and after; the last minute of the
transaction alone is told too, because the harm grows. One worker process, because with two the feeder does not keep
pace on two cores: where the queue runs empty, the rate is that of both together, and says nothing of the drain.
"""

from __future__ import annotations

import argparse

from benchmarks.ground import prepared, workers
from benchmarks.report import Row, finish, say
from benchmarks.steady import fed, rate

__all__: list[str] = []


def held(seconds: float) -> tuple[float, float]:
    """With a snapshot held: the rate of the whole stretch, and of its last third."""
    from notifications.pg import connect

    with connect(name="opsched bench horizon") as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM jobs_queue")
        parts = [rate(seconds / 3) for _ in range(3)]
        holder.execute("ROLLBACK")
    say("while it was held, by thirds:", [round(part) for part in parts])
    return sum(parts) / 3, parts[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="how long the transaction stays open")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    with prepared(), workers(processes=options.processes), fed() as feeder:
        rate(10.0)
        before = rate(options.seconds / 3)
        whole, last = held(options.seconds)
        rate(15.0)
        after = rate(options.seconds / 3)
    usual = (before + after) / 2
    loss = 1 - whole / usual
    rows = [
        Row(
            what=f"loss while a transaction holds the horizon for {options.seconds:.0f} s",
            figure=f"{loss:.1%} ({before:,.0f} before, {whole:,.0f} held, {after:,.0f} jobs/s after)",
            bar="at most 10 %",
            met=loss <= 0.1 and feeder.least > 0,
        ),
        Row(what="in its last third", figure=f"{1 - last / usual:.1%}"),
        Row(
            what="shortest queue meanwhile, jobs",
            figure=f"{feeder.least:,}",
            bar="never empty",
            met=feeder.least > 0,
        ),
    ]
    finish("horizon", rows, before=before, held=whole, last=last, after=after, shortest_queue=feeder.least)


if __name__ == "__main__":
    main()
