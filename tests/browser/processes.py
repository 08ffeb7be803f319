"""The processes that the browser tests start, kill and start again."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from pathlib import Path

from tests.support import child_environment, eventually

__all__ = ["Site", "Worker"]

_ROOT = Path(__file__).resolve().parents[2]


class _Process:
    """One command with the tests' kinds; what it says goes to a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = folder / f"{name}.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self, *command: str) -> None:
        environment = child_environment(OPSCHED_HANDLER_MODULES="tests.browser.kinds", PYTHONUNBUFFERED="1")
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """SIGKILL. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def said(self) -> str:
        """What it wrote so far."""
        return self._log.read_text() if self._log.exists() else ""

    def _runs(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"it ended: {self.said()}")


class Site(_Process):
    """Daphne on a free port, which it keeps from start to start."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "daphne")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers."""
        self._start("-m", "daphne", "-b", "127.0.0.1", "-p", str(self._port), "opsched.asgi:application")
        eventually(self._answers, timeout=30)

    def _answers(self) -> bool:
        self._runs()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


class Worker(_Process):
    """`manage.py runworker` with eight threads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "worker")

    def start(self, name: str = "worker-1") -> None:
        """Returns when it serves its queues."""
        self._start("manage.py", "runworker", "--concurrency", "8", "--name", name)
        eventually(self._serves, timeout=30)

    def _serves(self) -> bool:
        self._runs()
        return " ready: " in self.said()
