"""The ground of a benchmark: a private PostgreSQL in a temporary folder (durable settings), migrated, and real workers.

Nothing here touches the installation's own data. The environment is set before Django reads its settings.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

__all__ = ["cpu_seconds", "postgres", "prepared", "query", "registered", "tidied", "until", "workers"]

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Django, set up on a new private database with all migrations."""
    with tempfile.TemporaryDirectory(prefix="opsched-bench-") as folder:
        os.environ.update(
            OPSCHED_DATA=folder,
            OPSCHED_HANDLER_MODULES="benchmarks.handlers",
            OPSCHED_LOG_LEVEL="WARNING",
            DJANGO_SETTINGS_MODULE="opsched.settings",
        )
        os.environ.pop("DATABASE_URL", None)
        import django  # reads the settings, which read the environment above

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        from notifications import doorbell
        from opsched.embedded import client
        from opsched.embedded.layout import Layout

        call_command("migrate", verbosity=0)
        try:
            yield
        finally:
            doorbell.close()
            connections.close_all()
            client.release(Layout(root=Path(folder) / "pg"), wait=20.0)


@contextlib.contextmanager
def workers(*, processes: int, program: Sequence[str] = ("manage.py",)) -> Iterator[psutil.Process]:
    """`runworker` with so many processes, ready when the block begins, stopped when it ends.

    `program`: what stands for manage.py, where a benchmark changes something in the worker.
    """
    from jobs.models import WorkerProcess

    command = [sys.executable, *program, "runworker", "--queues", "bench", "--processes", str(processes)]
    before = list(WorkerProcess.objects.values_list("pk", flat=True))
    runner = subprocess.Popen(command, cwd=ROOT)
    try:
        # Two heartbeats: its loops run, its connections stand.
        ready = WorkerProcess.objects.filter(state="live", beat__gte=2).exclude(pk__in=before)
        until(lambda: ready.count() == processes)
        yield psutil.Process(runner.pid)
        if runner.poll() is not None:
            raise AssertionError(f"the workers had ended, with exit code {runner.returncode}")
    finally:
        runner.terminate()
        code = runner.wait(60)
    if code:
        raise AssertionError(f"the workers ended with exit code {code}")


def postgres() -> psutil.Process:
    """The server of this ground."""
    from opsched.embedded.layout import Layout

    root = Layout(root=Path(os.environ["OPSCHED_DATA"]) / "pg")
    return psutil.Process(int((root.cluster / "postmaster.pid").read_text().split()[0]))


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its descendants so far; of what has ended, only what its parent waited for."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = one.cpu_times()
            total += spent.user + spent.system
    times = process.cpu_times()
    return float(total + times.children_user + times.children_system)


def query(text: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement on the ground's database."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(text, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def registered(connection: Any, name: str) -> Iterator[int]:
    """The id of a worker for statements without one: who has stopped, or been lost, is given nothing by a claim."""
    from jobs.database import in_transaction
    from jobs.store import workers

    fields: dict[str, Any] = {"hostname": "bench", "pid": 0, "queues": [], "kinds": [], "concurrency": 1}
    worker = in_transaction(connection, lambda cursor: workers.register(cursor, name=name, **fields))
    yield worker
    in_transaction(connection, lambda cursor: workers.stop(cursor, worker, stats={}))


def tidied() -> None:
    """What an earlier drain left to be vacuumed or written out is not the next one's work."""
    query("VACUUM (ANALYZE)")
    query("CHECKPOINT")


def until(true: Callable[[], bool], *, seconds: float = 60.0, every: float = 0.02) -> None:
    """Wait for something, looking every 20 ms, or less often where looking costs what is measured."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            message = f"not reached within {seconds:g} s"
            raise TimeoutError(message)
        time.sleep(every)
