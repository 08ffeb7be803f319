"""What PostgreSQL itself can do with our statements, and how much of it the product reaches.

    python -m benchmarks.floor [--jobs 100000] [--rounds 7]

The floor is a driver loop: the heads (2,000 at a time, thrown away), then, a transaction a batch of 500, complete the
last batch, its event row, drop its claim, claim the next, its event row, piped as the workers do it. Ids and the text
of the events are made before the clock runs; no threads, no handlers, no outcomes. Each connection has a process and
its share of the ids, so that none meets another's locks. Rounds alternate: floor, product.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.synchronize
import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.flow import drain, enqueue_bulk
from benchmarks.ground import prepared, query, registered, tidied
from benchmarks.report import Row, finish, say, spread

__all__ = ["BATCH", "floor"]

BATCH = 500
HEADS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The parameters of one round, ready to be sent."""

    claim: dict[str, Any]
    started: dict[str, Any]
    complete: dict[str, Any]
    completed: dict[str, Any]


def floor(connections: int) -> float:
    """Drain everything that is ready; jobs per second of all connections together."""
    from django.db import connections as django

    ids = [row[0] for row in query("SELECT job_id FROM jobs_ready ORDER BY rank, job_id")]
    tidied()
    django.close_all()
    context = multiprocessing.get_context("fork")
    start, spans = context.Barrier(connections), context.SimpleQueue()
    loops = [
        context.Process(target=_loop, args=(ids[number::connections], start, spans))
        for number in range(connections)
    ]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    if any(loop.exitcode for loop in loops):
        raise AssertionError("a bare loop failed: see above")
    found = [spans.get() for _ in loops]
    return len(ids) / (max(end for _, end in found) - min(begin for begin, _ in found))


def _loop(ids: list[int], start: multiprocessing.synchronize.Barrier, spans: Any) -> None:
    from jobs.database import in_transaction, open_connection
    from jobs.store.statements import statement
    from notifications.statements import statement as log_statement

    claim, complete, drop = (statement(name) for name in ("claim", "complete", "delete_claims"))
    heads, tell = statement("ready_heads"), log_statement("append_event")
    head = {"names": ["bench"], "kinds": ["bench.noop"], "limit": HEADS, "parts": 1, "place": 0}
    with open_connection("opsched bench floor") as connection, registered(connection, "floor") as worker:
        batches = _batches(ids, worker)
        held = 0

        def one(cursor: Any, last: Batch | None, batch: Batch | None) -> int:
            """One transaction: the end of one batch, the start of the next; the claim's id."""
            if last is not None:
                cursor.execute(complete, last.complete)
                if cursor.fetchall() != [(None,)]:
                    raise AssertionError("the fence refused what was claimed")
                cursor.execute(tell, last.completed)
                cursor.execute(drop, {"ids": [held]})
            if batch is None:
                return 0
            cursor.execute(claim, batch.claim)
            taken = cursor.fetchall()
            if len(taken) != batch.claim["limit"]:
                raise AssertionError(f"{len(taken)} of {batch.claim['limit']} jobs were claimed")
            cursor.execute(tell, batch.started)
            return int(taken[0][-1])

        start.wait()
        began, last = time.monotonic(), None
        for number, batch in enumerate([*batches, None]):
            if number % (HEADS // BATCH) == 0:
                connection.execute(heads, head).fetchall()
            held = in_transaction(connection, partial(one, last=last, batch=batch), piped=True)
            last = batch
        spans.put((began, time.monotonic()))


def _batches(ids: list[int], worker: int) -> list[Batch]:
    from jobs.events import EventKind, encode_jobs
    from jobs.store.limiting import in_places
    from notifications.arrays import numbers, texts

    made = []
    for begin in range(0, len(ids), BATCH):
        part = sorted(ids[begin : begin + BATCH])
        told = [(job, "bench.noop", "bench", None, 1) for job in part]
        started = encode_jobs(EventKind.JOB_STARTED, "running", told)
        completed = encode_jobs(EventKind.JOB_COMPLETED, "completed", told)
        made.append(
            Batch(
                claim={"ids": numbers(part), "worker": worker, "limit": len(part)} | in_places(()),
                started=dict(zip(("topics", "items"), started, strict=True)),
                complete={
                    "ids": numbers(part),
                    "attempts": numbers([1] * len(part)),
                    "results": texts([None] * len(part)),
                    "worker": worker,
                },
                completed=dict(zip(("topics", "items"), completed, strict=True)),
            )
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000, help="a round")
    parser.add_argument("--rounds", type=int, default=7, help="each of seconds; they differ by a third")
    options = parser.parse_args()
    bare: dict[int, list[float]] = {1: [], 2: []}
    ours: dict[int, list[float]] = {1: [], 2: []}
    with prepared():
        for number in range(options.rounds):
            for processes in (1, 2):
                enqueue_bulk(options.jobs)
                bare[processes].append(floor(processes))
                enqueue_bulk(options.jobs)
                ours[processes].append(drain(processes).rate)
                say(f"round {number + 1}, {processes}:", bare[processes][-1], ours[processes][-1])
    rows = []
    for processes in (1, 2):
        shares = [mine / its for mine, its in zip(ours[processes], bare[processes], strict=True)]
        rows += [
            Row(what=f"floor, {processes} connections, jobs/s", figure=spread(bare[processes], digits=0)),
            Row(
                what=f"drain, {processes} worker processes, jobs/s", figure=spread(ours[processes], digits=0)
            ),
            Row(
                what=f"share of the floor, {processes} processes",
                figure=spread(shares),
                bar="at least 0.50" if processes == 2 else "",
                met=statistics.median(shares) >= 0.5 if processes == 2 else None,
            ),
        ]
    finish("floor", rows, floor=bare, drain=ours)


if __name__ == "__main__":
    main()
