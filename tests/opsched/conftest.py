"""Real processes that use an embedded database of their own, to be killed in every way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from opsched.embedded.layout import Layout
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]

_USER = """
import sys
from pathlib import Path
from opsched.embedded import client
from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.layout import Layout
try:
    client.ensure(Layout(root=Path(sys.argv[1])))
except DatabaseUnavailable as error:
    sys.exit(str(error))
print("up", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class User:
    """A process that holds the database until its standard input ends or it is killed."""

    process: subprocess.Popen[str]

    def wait_until_up(self) -> None:
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == "up\n", (said, self.process.communicate(timeout=10))

    def leave(self) -> None:
        self.process.communicate("", timeout=20)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=20)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout(root=tmp_path / "pg")
    yield made
    for process in processes_of(made):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def user(layout: Layout) -> Iterator[Callable[[], User]]:
    """Start a user of `layout`'s database; returned before the database is up."""
    users: list[User] = []

    def start() -> User:
        process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(layout.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        users.append(User(process))
        return users[-1]

    yield start
    for each in users:
        if each.process.poll() is None:
            each.kill()


def processes_of(layout: Layout) -> list[psutil.Process]:
    """Servers and guardians of this database."""
    found = []
    for process in psutil.process_iter(["name", "cwd", "cmdline"]):
        words = process.info["cmdline"] or []
        is_server = process.info["name"] == "postgres" and process.info["cwd"] == str(layout.cluster)
        is_guardian = "opsched.embedded.guardian" in words and str(layout.root) in words
        if is_server or is_guardian:
            found.append(process)
    return found


def postmaster(layout: Layout) -> psutil.Process:
    return psutil.Process(int(layout.postmaster_pid.read_text().split()[0]))


def servers(layout: Layout) -> int:
    """How many postmasters run (their workers have one of them as parent)."""
    inside = {process.pid: process for process in processes_of(layout) if process.name() == "postgres"}
    return sum(process.ppid() not in inside for process in inside.values())


def guardian(layout: Layout) -> psutil.Process:
    return next(p for p in processes_of(layout) if "opsched.embedded.guardian" in p.cmdline())


def gone(layout: Layout, *, timeout: float = 15.0) -> None:
    """Nothing of this database runs any more."""
    eventually(lambda: not processes_of(layout), timeout=timeout)
