"""A data folder with an embedded database of its own, and the processes that use it: for tests that end the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from opsched.embedded import client
from opsched.embedded.layout import Layout
from tests.crash.harness import ROOT, Program
from tests.support import eventually

__all__ = ["House"]


class House:
    """A data folder, its embedded database and the processes that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(root=folder / "data" / "pg")
        self._programs: list[Program] = []
        self._environment = {
            **os.environ,
            "OPSCHED_DATA": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "opsched.settings",
        }
        self._environment.pop("DATABASE_URL", None)

    def start(self, *words: str, **environment: str) -> Program:
        log = self.folder / f"log-{len(self._programs)}.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env={**self._environment, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._programs.append(Program(process, log))
        return self._programs[-1]

    def postmaster(self) -> int:
        return int(self.layout.postmaster_pid.read_text().split()[0])

    def connect(self) -> psycopg.Connection[Any]:
        # As a user of the database: it ends with the last one, which would else be the worker.
        client.ensure(self.layout)
        return psycopg.connect(
            host=str(self.layout.socket_folder), user="opsched", dbname="opsched", autocommit=True
        )

    def restart(self) -> dict[str, float]:
        """End the server as `pg_ctl -m immediate` does; when that was, and when it answered again."""
        down = time.time()
        os.kill(self.postmaster(), signal.SIGQUIT)
        eventually(lambda: not self.answers(), timeout=10)
        eventually(self.answers, timeout=60)
        return {"down": down, "up": time.time()}

    def answers(self) -> bool:
        try:
            psycopg.connect(host=str(self.layout.socket_folder), user="opsched", dbname="opsched").close()
        except psycopg.OperationalError:
            return False
        return True

    def end(self) -> None:
        for program in self._programs:
            if program.process.poll() is None:
                program.kill()
        client.release(self.layout)
        # The guardian ends its server when the last user is gone.
        eventually(lambda: not self.layout.socket.exists(), timeout=20)
