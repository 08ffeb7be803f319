"""What the crash tests hold in their hands: a process and what it said, a history and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs.handlers.trace import sign_history
from jobs.models import Job
from tests.support import eventually

__all__ = ["ROOT", "History", "Program", "Start", "Team", "lost_count", "states"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Program:
    """A `manage.py` process and what it said."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    def ready(self) -> Program:
        eventually(self._up, timeout=60)  # no bar: how long a start takes is the machine's
        return self

    def _up(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"ended with {self.process.returncode}: {self.text}")
        return " ready: " in self.text

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self, *, timeout: float = 20.0) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s; it said: {self.text}") from None


@dataclass
class History:
    """The file that job bodies append to."""

    path: Path

    def payload(self, task: str, seconds: float) -> dict[str, Any]:
        return {"task": task, "seconds": seconds, "history": sign_history(self.path, task)}

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def count(self, event: str, task: str | None = None) -> int:
        return sum(line["event"] == event and task in (None, line["task"]) for line in self.lines())

    def one(self, event: str, task: str, attempt: int) -> dict[str, Any]:
        (line,) = (
            line
            for line in self.lines()
            if (line["event"], line["task"], line["attempt"]) == (event, task, attempt)
        )
        return line

    def wait_for(self, event: str, number: int, *, timeout: float = 20.0) -> None:
        eventually(lambda: self.count(event) >= number, timeout=timeout)

    def ends_once(self, recorded: dict[str, int]) -> None:
        """Each task has exactly one `end` of the attempt that the database recorded."""
        ends = Counter((line["task"], line["attempt"]) for line in self.lines() if line["event"] == "end")
        wrong = {
            task: ends[(task, attempt)] for task, attempt in recorded.items() if ends[(task, attempt)] != 1
        }
        assert not wrong, f"ends of the recorded attempt: {wrong}"


def states(**filters: Any) -> Counter[str]:
    return Counter(Job.objects.filter(**filters).values_list("state", flat=True))


def lost_count() -> int:
    """Completions that the fence refused, or that were dropped on hearing the loss, as the workers tell it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum((stats ->> 'lost')::int), 0) FROM jobs_workerprocess")
        (count,) = cursor.fetchone()
    return int(count)


Start = Callable[..., Program]
Team = Callable[..., list[Program]]
