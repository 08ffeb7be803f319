"""`make bench-smoke`: the figures that tell whether a change made opsched slower, in less than a minute.

Last line: one JSON object. Rates are jobs per second, times milliseconds. Everything runs as it does in production:
durable database, event log on, rows kept. `floor` is a bare driver loop over the claim and finish statements.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from benchmarks.flow import drain, enqueue_bulk, enqueue_one, start_latency
from benchmarks.ground import prepared, registered

__all__ = ["main"]

DRAINED = 20_000
STARTS = 200
ONE_BY_ONE = 500
FLOOR_BATCH = 500


def floor() -> float:
    """One connection, no threads, no handlers, no outcomes: read the head, claim, complete, with both events."""
    from jobs.database import in_transaction, open_connection
    from jobs.store.claiming import claim, drop_claims
    from jobs.store.statements import rows

    with open_connection("opsched bench") as connection, registered(connection, "floor") as worker:

        def claim_next(cursor: Any) -> Any:
            head = {"names": ["bench"], "kinds": ["bench.noop"], "limit": FLOOR_BATCH, "parts": 1, "place": 0}
            ids = [job for lane in rows(cursor, "ready_heads", head) for job in lane[2]]
            return claim(cursor, worker_id=worker, candidates=ids, limit=FLOOR_BATCH)

        def one_round(cursor: Any) -> Any:
            _complete(cursor, worker, held.jobs)
            drop_claims(cursor, [held.claim_id])
            return claim_next(cursor)

        done, began = 0, time.perf_counter()
        held = in_transaction(connection, claim_next)
        while held.jobs:
            done += len(held.jobs)
            held = in_transaction(connection, one_round)
        rate = done / (time.perf_counter() - began)
        if done != DRAINED:
            raise AssertionError(f"{done} jobs were drained, {DRAINED} were to")
        return rate


def _complete(cursor: Any, worker: int, jobs: Any) -> None:
    from jobs.events import EventKind, encode_jobs
    from jobs.store.statements import rows
    from notifications.log import append_encoded

    params = {
        "ids": [job.id for job in jobs],
        "attempts": [job.attempt for job in jobs],
        "results": [None for _ in jobs],
        "worker": worker,
    }
    if rows(cursor, "complete", params) != [(None,)]:
        raise AssertionError("the fence refused what was claimed")
    told = [(job.id, job.kind, job.queue, job.workflow_id, job.attempt) for job in jobs]
    topics, items = encode_jobs(EventKind.JOB_COMPLETED, "completed", told)
    append_encoded(cursor, topics=topics, items=items)


def main() -> None:
    figures: dict[str, float] = {}
    with prepared():
        figures["enqueue_bulk_per_s"] = enqueue_bulk(DRAINED)
        figures["drain_1_per_s"] = drain(1).rate
        enqueue_bulk(DRAINED)
        figures["drain_2_per_s"] = drain(2).rate
        enqueue_bulk(DRAINED)
        figures["floor_per_s"] = floor()
        figures["enqueue_one_per_s"] = enqueue_one(ONE_BY_ONE)
        drain(1)
        latencies = start_latency(STARTS).late
    figures["start_ms_p50"] = statistics.median(latencies)
    figures["start_ms_p99"] = latencies[int(0.99 * len(latencies))]
    print(json.dumps({name: round(value, 2) for name, value in sorted(figures.items())}))


if __name__ == "__main__":
    main()
