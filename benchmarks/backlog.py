"""What a backlog costs: the time of a claim and the rate of a drain, with millions of rows and without.

    python -m benchmarks.backlog [--ready 1000000] [--scheduled 1000000] [--finished 2000000] [--drained 50000]

The rows are made by generate_series, the scheduled ones an hour and more ahead. A claim is timed as a worker's
connection sees it (the heads of 2,000, then the claim of the best 200, rolled back), its buffers are what EXPLAIN
counts. The empty side has the drained jobs and nothing else; the full side drains the head of its backlog.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from benchmarks.flow import drain, enqueue_bulk
from benchmarks.ground import prepared, query, registered
from benchmarks.report import Row, finish, say

__all__ = ["fill"]

CLAIMED = 200
TIMES = 50
HEADS = {"names": ["bench"], "kinds": ["bench.noop"], "limit": 2_000, "parts": 1, "place": 0}

JOBS = """
INSERT INTO jobs_job (kind, queue, state, priority, attempt, max_attempts, payload, created_at, scheduled_at, ready_at,
                      started_at, finished_at, worker_id, task)
SELECT 'bench.noop', 'bench', '{state}', 0, {attempt}, 5, '{{}}', now(), {at}, {ready}, {started}, {finished},
       {worker}, ''
FROM generate_series(1, {count}) AS n
"""
READY = """
INSERT INTO jobs_ready (job_id, queue, kind, rank)
SELECT id, queue, kind, jobs_rank(ready_at, priority, 60) FROM jobs_job WHERE state = 'available'
"""
SCHEDULED = """
INSERT INTO jobs_scheduled (job_id, at, state)
SELECT id, scheduled_at, 'scheduled' FROM jobs_job WHERE state = 'scheduled'
"""


def fill(*, ready: int, scheduled: int, finished: int) -> None:
    """Rows as the product leaves them, by four statements."""
    plain = {
        "at": "now()",
        "ready": "now()",
        "started": "NULL",
        "finished": "NULL",
        "worker": "NULL",
        "attempt": 0,
    }
    done = plain | {"started": "now()", "finished": "now()", "worker": "1", "attempt": 1}
    later = plain | {"ready": "NULL", "at": "now() + make_interval(secs => 3700 + n * 0.1)"}
    for state, count, values in (
        ("completed", finished, done),
        ("scheduled", scheduled, later),
        ("available", ready, plain),
    ):
        query(JOBS.format(state=state, count=count, **values))
        say(f"{count:,} {state}")
    query(READY)
    query(SCHEDULED)
    query(
        "INSERT INTO jobs_queue (name, description, ageing_seconds) VALUES ('bench', '', 60) ON CONFLICT DO NOTHING"
    )
    query("VACUUM (ANALYZE) jobs_job, jobs_ready, jobs_scheduled")
    query("CHECKPOINT")


class Asker:
    """A worker's connection that looks at the heads and claims, and takes everything back."""

    def __init__(self, connection: Any, worker: int) -> None:
        from jobs.store.statements import statement

        self.connection, self.worker = connection, worker
        self.seen = min(
            HEADS["limit"],
            query("SELECT count(*) FROM jobs_ready WHERE queue = 'bench' AND kind = 'bench.noop'")[0][0],
        )
        self.heads, self.claim = statement("ready_heads"), statement("claim")

    def times(self) -> dict[str, float]:
        """Milliseconds, medians: of the look at the heads, and of the claim."""
        looks, claims = [], []
        for _ in range(TIMES):
            with self.connection.transaction(force_rollback=True), self.connection.cursor() as cursor:
                began = time.perf_counter()
                ids = self._look(cursor)
                seen = time.perf_counter()
                cursor.execute(self.claim, self._wanted(ids[:CLAIMED]))
                taken = cursor.fetchall()
                looks.append((seen - began) * 1_000)
                claims.append((time.perf_counter() - seen) * 1_000)
            _check(len(ids), self.seen)
            _check(len(taken), CLAIMED)
        return {"heads": statistics.median(looks), "claim": statistics.median(claims)}

    def _wanted(self, ids: list[int]) -> dict[str, Any]:
        """The parameters of a claim."""
        from jobs.store.limiting import in_places

        return {"ids": ids, "worker": self.worker, "limit": CLAIMED} | in_places(())

    def _look(self, cursor: Any) -> list[int]:
        cursor.execute(self.heads, HEADS)
        return [job for row in cursor.fetchall() for job in row[2]]

    def buffers(self) -> dict[str, int]:
        """Pages touched: by one look, by a claim of one job, by a claim of many."""
        with self.connection.transaction(force_rollback=True), self.connection.cursor() as cursor:
            ids = self._look(cursor)
        return {
            "heads": self._explained(self.heads, HEADS),
            "claim of 1": self._explained(self.claim, self._wanted(ids[:1]), rows=1),
            f"claim of {CLAIMED}": self._explained(self.claim, self._wanted(ids[:CLAIMED]), rows=CLAIMED),
        }

    def _explained(self, text: str, params: dict[str, Any], *, rows: int | None = None) -> int:
        with self.connection.transaction(force_rollback=True), self.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", params, prepare=False)
            found = cursor.fetchall()[0][0]
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        if rows is not None:
            _check(int(plan["Actual Rows"]), rows)
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _check(taken: int, wanted: int) -> None:
    if taken != wanted:
        raise AssertionError(f"{taken} of {wanted} jobs were found: this is not what was to be measured")


def look() -> dict[str, Any]:
    from jobs.database import open_connection

    with open_connection("opsched bench backlog") as connection, registered(connection, "backlog") as worker:
        asker = Asker(connection, worker)
        return {"ms": asker.times(), "buffers": asker.buffers()}


def judged(
    size: str, *, empty: dict[str, Any], full: dict[str, Any], usual: float, loaded: float
) -> list[Row]:
    """What was measured, beside its bar. `usual`, `loaded`: jobs a second without and with the backlog."""
    times = full["ms"]["claim"] / empty["ms"]["claim"]
    looks = full["ms"]["heads"] / empty["ms"]["heads"]
    share = loaded / usual
    one = full["buffers"]["claim of 1"]
    return [
        Row(
            what=f"claim of {CLAIMED} with {size}, times that of an empty queue",
            figure=f"{times:.2f}: {full['ms']['claim']:.1f} against {empty['ms']['claim']:.1f} ms",
            bar="at most 2",
            met=times <= 2,
        ),
        Row(
            what="look at the best 2,000, the same",
            figure=f"{looks:.2f}: {full['ms']['heads']:.1f} against {empty['ms']['heads']:.1f} ms",
            bar="at most 2",
            met=looks <= 2,
        ),
        Row(
            what="drain with that backlog, share of the empty queue's",
            figure=f"{share:.2f}: {loaded:,.0f} against {usual:,.0f} jobs/s",
            bar="at least 0.90",
            met=share >= 0.9,
        ),
        Row(
            what="buffers of a claim of one job, with the backlog",
            figure=f"{one}",
            bar="at most 200",
            met=one <= 200,
        ),
        Row(
            what=f"buffers of a claim of {CLAIMED}, a job",
            figure=f"{full['buffers'][f'claim of {CLAIMED}'] / CLAIMED:.1f}",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ready", type=int, default=1_000_000)
    parser.add_argument("--scheduled", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=2_000_000)
    parser.add_argument("--drained", type=int, default=50_000, help="jobs of each drain")
    parser.add_argument("--rounds", type=int, default=3, help="drains on each side")
    options = parser.parse_args()
    with prepared():
        enqueue_bulk(options.drained)
        query("VACUUM (ANALYZE) jobs_job, jobs_ready")
        empty = look()
        empty_rates = []
        for _ in range(options.rounds):
            empty_rates.append(drain(2).rate)
            enqueue_bulk(options.drained)
        query("TRUNCATE jobs_job, jobs_ready, jobs_scheduled, jobs_claim, notifications_event CASCADE")
        fill(ready=options.ready, scheduled=options.scheduled, finished=options.finished)
        full = look()
        full_rates = [drain(2, count=options.drained).rate for _ in range(options.rounds)]
    size = f"{options.ready:,} ready, {options.scheduled:,} scheduled, {options.finished:,} finished rows"
    usual, loaded = statistics.median(empty_rates), statistics.median(full_rates)
    rows = judged(size, empty=empty, full=full, usual=usual, loaded=loaded)
    finish("backlog", rows, empty=empty, full=full, empty_rates=empty_rates, full_rates=full_rates)


if __name__ == "__main__":
    main()
