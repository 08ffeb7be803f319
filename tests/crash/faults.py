"""What the fault tests share: a team to strike, what was done to it, and the case that the checker judges.

The checker (`tests/fault_checker.py`) sees files only: this writes them, from plain SQL and from what the test noted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import fault_checker, history_checker
from tests.crash.harness import History, Program
from tests.fault_checker import Verdict
from tests.support import eventually
from tests.support_consistency import EVENTS

__all__ = ["Done", "children", "judge", "specs", "until_none_is_left"]

_JOBS = "SELECT payload ->> 'task', id, state, attempt FROM jobs_job"
_COMPLETIONS = f"""
    SELECT j.payload ->> 'task', array_agg(event.attempt)
    FROM ({EVENTS}) AS event JOIN jobs_job j ON j.id = event.job
    WHERE event.kind = 'job.completed' GROUP BY 1
"""
_TAKEN = """
    SELECT j.payload ->> 'task', array_agg(a.number) FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
    WHERE a.outcome = 'lost' GROUP BY 1
"""
_LEFT = "SELECT count(*) FROM jobs_job WHERE state NOT IN ('completed', 'dead')"


@dataclass
class Done:
    """What was done to processes, in the checker's words."""

    faults: list[dict[str, Any]] = field(default_factory=list)

    def kill(self, pid: int) -> None:
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        self.faults.append({"pid": pid, "kind": "kill", "at": at, "until": time.time()})

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """Stopped inside of the block; what a process still does for a moment afterwards counts as its waking up."""
        began = [{"pid": pid, "kind": "stop", "at": time.time()} for pid in pids]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        self.faults += [one | {"until": time.time() + 5.0} for one in began]


def children(program: Program) -> list[int]:
    """The worker processes of a supervisor that live."""
    return sorted(
        one.pid
        for one in psutil.Process(program.process.pid).children()
        if one.status() != psutil.STATUS_ZOMBIE
    )


def specs(
    history: History, count: int, rng: random.Random, low: float, high: float
) -> dict[str, dict[str, Any]]:
    """Payloads by task: so many jobs that take from `low` to `high` seconds."""
    return {f"t{n}": history.payload(f"t{n}", round(rng.uniform(low, high), 4)) for n in range(count)}


def until_none_is_left(cursor: Any, *, timeout: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Wait until every job has ended, doing something `meanwhile` (once a round). False: not in that time."""

    def none_left() -> bool:
        meanwhile()
        cursor.execute(_LEFT)
        return not cursor.fetchone()[0]

    try:
        return eventually(none_left, timeout=timeout, interval=0.1)
    except AssertionError:
        return False


def judge(
    cursor: Any, folder: Path, history: History, promised: dict[str, int], done: Done, **more: Any
) -> Verdict:
    """The checker's verdict; the files it read are left in `folder`."""
    cursor.execute(_JOBS)
    jobs = {
        task: {"id": job, "state": state, "attempt": attempt}
        for task, job, state, attempt in cursor.fetchall()
    }
    cursor.execute(_COMPLETIONS)
    completions = dict(cursor.fetchall())
    cursor.execute(_TAKEN)
    case = {
        "promised": promised,
        "jobs": jobs,
        "completions": completions,
        "taken": dict(cursor.fetchall()),
        "faults": done.faults,
        **more,
    }
    (folder / "case.json").write_text(json.dumps(case))
    return fault_checker.judge(
        json.loads((folder / "case.json").read_text()), history_checker.read_history(str(history.path))
    )
