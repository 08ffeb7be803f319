"""Real worker processes on the session's database, to be killed in every way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from notifications import bus, doorbell
from tests.crash.harness import ROOT, History, Program, Start
from tests.support import child_environment, eventually


@pytest.fixture(autouse=True, scope="session")
def _nothing_stays_open() -> Iterator[None]:
    """Threads give their connections back before the test database is dropped."""
    yield
    bus.close()
    doorbell.close()


@pytest.fixture
def manage(tmp_path: Path, transactional_db: None) -> Iterator[Start]:
    """manage("runworker", "--queues", "a", settings=…) starts a process; all end before the tables are emptied."""
    started: list[Program] = []

    def start(*words: str, settings: str = "opsched.settings", **environment: str) -> Program:
        log = tmp_path / f"log-{len(started)}.txt"
        given = {
            "DJANGO_SETTINGS_MODULE": settings,
            "OPSCHED_SECRET_KEY": django_settings.SECRET_KEY,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "",  # what is told is seen in time without it, as most people have it
            **environment,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *words],
                cwd=ROOT,
                env=child_environment(**given),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        started.append(Program(process, log))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.kill()
    # Children of a killed supervisor drain for a while: they would register anew in the emptied tables, and be counted
    # by the next test.
    for pid in _of_this_session():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _of_this_session(), timeout=10)


def _of_this_session() -> list[int]:
    """Processes of `manage.py` that use this session's server."""
    ours = f"OPSCHED_DATA={os.environ['OPSCHED_DATA']}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not folder.name.isdigit() or b"manage.py" not in (folder / "cmdline").read_bytes().split(
                b"\0"
            ):
                continue
            if ours in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


@pytest.fixture
def worker(manage: Start) -> Start:
    """worker("--concurrency", "2", settings=…) is a worker that is ready."""

    def start(*words: str, settings: str = "opsched.settings", **environment: str) -> Program:
        return manage("runworker", *words, settings=settings, **environment).ready()

    return start


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.jsonl")


@pytest.fixture
def workers(manage: Start) -> Callable[..., list[Program]]:
    """workers(2, "--concurrency", "1", settings=…): several that are ready, started together."""

    def start(count: int, *words: str, settings: str = "opsched.settings") -> list[Program]:
        started = [manage("runworker", *words, settings=settings) for _ in range(count)]
        return [one.ready() for one in started]

    return start
