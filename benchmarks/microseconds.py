"""Where each microsecond of a job goes, in the worker and in the database.

    python -m benchmarks.microseconds [--jobs 60000] [--py-spy .venv-peers/bin/py-spy]

The worker: py-spy samples one worker process during a drain (threads that hold the GIL, so that waiting counts as
nothing); the samples are shared out over the modules they stood in and multiplied with the processor time a job took.
The database: pg_stat_statements, for which the benchmark's own server is started anew; beside it the client's clock,
what each statement took from call to answer in the worker's connections (what is piped waits for what went before it).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from benchmarks.flow import Drain, drain, enqueue_bulk
from benchmarks.ground import ROOT, postgres, prepared, query, until
from benchmarks.report import Row, finish, say

__all__ = ["named"]

TIMED = ("-m", "benchmarks.timed")


def sampled(jobs: int, spy: str) -> tuple[Drain, collections.Counter[str]]:
    """A drain under py-spy: its figures, and the samples by module."""
    with tempfile.TemporaryDirectory(prefix="opsched-bench-spy-") as folder:
        out = Path(folder) / "raw"
        enqueue_bulk(jobs)
        drained = drain(1, around=partial(_watched, spy=spy, out=out))
        return drained, _by_module(out.read_text())


@contextlib.contextmanager
def _watched(worker: psutil.Process, spy: str, out: Path) -> Iterator[None]:
    """py-spy at work while the block runs. It may look into another process only as root, or where ptrace is open."""
    record = [
        spy,
        "record",
        "--pid",
        str(worker.pid),
        "--format",
        "raw",
        "--output",
        str(out),
        "--gil",
        "--rate",
        "400",
    ]
    watcher = subprocess.Popen(
        [*record, "--nonblocking", "--duration", "3600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(1.0)
        yield
    finally:
        watcher.send_signal(signal.SIGINT)  # it writes what it has
        watcher.wait(60)


def _by_module(raw: str) -> collections.Counter[str]:
    """Lines of `frame;frame;frame count`, outermost first; a sample belongs to the innermost frame of ours."""
    found: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        found[_place(stack.split(";"))] += int(count)
    return found


def _place(stack: list[str]) -> str:
    for frame in reversed(stack):
        file = frame.partition("(")[2].partition(":")[0]
        for package in ("jobs/", "notifications/", "benchmarks/"):
            if package in file:
                return package + file.rpartition(package)[2]
    for frame in reversed(stack):
        for package in ("psycopg", "django"):
            if package in frame:
                return package
    return "else"


def timed(jobs: int) -> dict[str, dict[str, float]]:
    """A drain whose worker takes the time of each statement: name, calls, seconds."""
    with tempfile.TemporaryDirectory(prefix="opsched-bench-timed-") as folder:
        out = Path(folder) / "statements"
        os.environ["BENCH_TIMED"] = str(out)
        enqueue_bulk(jobs)
        drain(1, program=TIMED)
        found: dict[str, dict[str, float]] = json.loads(out.read_text())
        return found


def preload_statistics() -> bool:
    """Start the benchmark's server anew with pg_stat_statements; False where it does not carry it."""
    from django.db import connections

    if not query("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        return False
    query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    server = postgres()
    connections.close_all()
    server.send_signal(signal.SIGINT)  # its guardian starts it again
    server.wait(30)
    until(_answers, seconds=60.0)
    query("CREATE EXTENSION pg_stat_statements")
    return True


def _answers() -> bool:
    from django.db import OperationalError, connections

    try:
        return bool(query("SELECT 1"))
    except OperationalError:
        connections.close_all()
        return False


def in_the_database(jobs: int) -> dict[str, dict[str, float]]:
    """A drain by pg_stat_statements: name, calls, seconds of execution."""
    enqueue_bulk(jobs)
    query("SELECT pg_stat_statements_reset()")
    drain(1)
    found = query(
        "SELECT query, calls, total_exec_time / 1000 FROM pg_stat_statements ORDER BY 3 DESC LIMIT 40"
    )
    told: dict[str, dict[str, float]] = {}
    for text, calls, seconds in found:
        one = told.setdefault(named(text), {"calls": 0, "seconds": 0.0})
        one["calls"] += calls
        one["seconds"] += seconds
    return told


def named(text: str) -> str:
    """The file a statement comes from."""
    shape = _shape(text)
    for folder in ("jobs", "notifications"):
        for path in sorted((ROOT / folder / "sql").glob("*.sql")):
            if _shape(path.read_text()) == shape:
                return path.stem
    return " ".join(text.split())[:50]


def _shape(text: str) -> str:
    """Without comments, values and spaces: what the server and the file have in common."""
    bare = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"%\(\w+\)s|\$\d+|'[^']*'|\b\d+(\.\d+)?\b|NULL|\s+", "", bare)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=60_000)
    parser.add_argument("--py-spy", default=str(ROOT / ".venv-peers" / "bin" / "py-spy"), dest="spy")
    options = parser.parse_args()
    with prepared():
        preloaded = preload_statistics()
        say("pg_stat_statements:", "there" if preloaded else "not in this server")
        plain = _drained(options.jobs)
        inside = in_the_database(options.jobs) if preloaded else {}
        statements = timed(options.jobs)
        drained, samples = sampled(options.jobs, options.spy)
    total = sum(samples.values()) or 1
    rows = [
        Row(
            what="processor time of a job, µs",
            figure=f"{plain.worker_us:.1f} worker, {plain.postgres_us:.1f} database",
        )
    ]
    rows += [
        Row(what=f"worker: {place}, µs a job", figure=f"{plain.worker_us * count / total:.1f}")
        for place, count in samples.most_common(15)
    ]
    rows += [
        Row(
            what=f"statement {name}, µs a job (by the client's clock)",
            figure=f"{told['seconds'] / options.jobs * 1e6:.1f} in {told['calls']:.0f} calls",
        )
        for name, told in sorted(statements.items(), key=lambda pair: -pair[1]["seconds"])[:12]
    ]
    rows += [
        Row(
            what=f"database: {name}, µs a job (pg_stat_statements)",
            figure=f"{told['seconds'] / options.jobs * 1e6:.1f} in {told['calls']:.0f} calls",
        )
        for name, told in list(inside.items())[:12]
    ]
    finish(
        "microseconds",
        rows,
        inside=inside,
        samples=samples,
        statements=statements,
        python=sys.version.split()[0],
        rate=drained.rate,
    )


def _drained(jobs: int) -> Drain:
    enqueue_bulk(jobs)
    return drain(1)


if __name__ == "__main__":
    main()
