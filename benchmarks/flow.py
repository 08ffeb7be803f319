"""What several benchmarks do with the product as it is: submit, drain, and see when an idle worker starts a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.ground import cpu_seconds, postgres, query, tidied, until, workers

__all__ = ["Drain", "Starts", "drain", "enqueue_bulk", "enqueue_one", "percentile", "start_latency"]

BULK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Jobs per second, and the processor time a job took: of all workers, and of the whole database server."""

    rate: float
    worker_us: float
    postgres_us: float


def enqueue_bulk(count: int, *, batch: int = BULK, kind: str = "bench.noop") -> float:
    from jobs.submit import JobSpec, submit_many

    began = time.perf_counter()
    for done in range(0, count, batch):
        submit_many([JobSpec(kind=kind)] * min(batch, count - done))
    return count / (time.perf_counter() - began)


def enqueue_one(count: int) -> float:
    from jobs.submit import submit

    began = time.perf_counter()
    for _ in range(count):
        submit("bench.noop")
    return count / (time.perf_counter() - began)


def drain(
    processes: int,
    *,
    program: Sequence[str] = ("manage.py",),
    count: int | None = None,
    seconds: float = 600.0,
    around: Callable[[psutil.Process], AbstractContextManager[None]] | None = None,
) -> Drain:
    """From the first claim to the last completion, as the database recorded them.

    All that is ready, or about `count` jobs of a larger backlog (then the workers are stopped in the middle). `around`:
    what watches the workers meanwhile.
    """
    from jobs import steering
    from jobs.control import Actor
    from jobs.models import Claim, Ready

    total = Ready.objects.count() if count is None else count
    steering.pause_queue(Actor(), "bench")
    tidied()
    with workers(processes=processes, program=program) as runner, around(runner) if around else nullcontext():
        first = query("SELECT clock_timestamp()")[0][0]
        began = cpu_seconds(runner), cpu_seconds(postgres())
        steering.resume_queue(Actor(), "bench")
        if count is None:
            # Also what was claimed must have ended: a worker that is told to stop gives the rest back.
            # Seldom, because the look steps over every dead row of the table.
            until(
                lambda: not Ready.objects.exists() and not Claim.objects.exists(), seconds=seconds, every=0.2
            )
        else:
            until(lambda: _finished_since(first) >= count, seconds=seconds)
        ended = cpu_seconds(runner), cpu_seconds(postgres())
    spent = [late - early for early, late in zip(began, ended, strict=True)]
    return _drained(total, first, spent, processes)


def _finished_since(moment: Any) -> int:
    """By the workers' own counters: counting the rows would be a benchmark of its own."""
    found = query(
        "SELECT coalesce(sum((stats ->> 'completed')::bigint), 0) FROM jobs_workerprocess "
        "WHERE state = 'live' AND heartbeat_at >= %s",
        moment,
    )
    return int(found[0][0])


def _drained(count: int, since: Any, spent: list[float], processes: int) -> Drain:
    """Of the jobs that ended since: the span, and the processor time of each."""
    found = query(
        "SELECT count(*), count(DISTINCT worker_id), "
        "extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM jobs_job "
        "WHERE state = 'completed' AND started_at >= %s",
        since,
    )
    ended, hands, span = found[0]
    if ended < count:
        raise AssertionError(f"{ended} jobs ended, {count} were to")
    if hands != processes:
        raise AssertionError(f"{hands} processes ran jobs, {processes} were to")
    worker, server = (seconds / ended * 1_000_000 for seconds in spent)
    return Drain(rate=ended / span, worker_us=worker, postgres_us=server)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """How late each of some jobs started, in milliseconds, sorted; how many a second were submitted."""

    late: list[float]
    rate: float


def start_latency(count: int, *, gap: float = 0.06, rate: float | None = None, processes: int = 1) -> Starts:
    """From the call of submit() to the first line of the handler.

    With the gap as it is, counted from the end of a call, one job at a time on an idle worker: the last is over, and
    the doorbell may ring again. `rate`: so many a second instead, by the clock.
    """
    from jobs.models import Job
    from jobs.submit import submit

    def one() -> tuple[int, float]:
        began = time.time()
        return submit("bench.stamp").id, began

    with workers(processes=processes):
        submitted = dict(_spaced(one, count, gap) if rate is None else _paced(one, count, 1 / rate))
        until(lambda: Job.objects.filter(pk__in=submitted, state="completed").count() == count)
    started: dict[int, Any] = dict(Job.objects.filter(pk__in=submitted).values_list("pk", "result"))
    calls = list(submitted.values())
    return Starts(
        late=sorted((started[job] - began) * 1_000 for job, began in submitted.items()),
        rate=(count - 1) / (calls[-1] - calls[0]),
    )


def _spaced(one: Callable[[], tuple[int, float]], count: int, gap: float) -> list[tuple[int, float]]:
    """One `gap` seconds after the end of the last."""
    told = []
    for _ in range(count):
        told.append(one())
        time.sleep(gap)
    return told


def _paced(one: Callable[[], tuple[int, float]], count: int, gap: float) -> list[tuple[int, float]]:
    """One every `gap` seconds by the clock, or as fast as it goes where that is slower."""
    told, due = [], time.monotonic()
    for _ in range(count):
        told.append(one())
        due = max(due + gap, time.monotonic() - 10 * gap)
        time.sleep(max(0.0, due - time.monotonic()))
    return told


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, the one below which that share lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
