"""PostgreSQL ends at once (as with `pg_ctl -m immediate`) in the middle of load, on a database of this test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsched.embedded import client
from opsched.embedded.layout import Layout
from tests.crash.harness import ROOT, History, Program
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.slow

COUNT = 400


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

    def start(self, *words: str) -> Program:
        log = self.folder / f"log-{len(self._programs)}.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=self._environment,
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

    def end(self) -> None:
        for program in self._programs:
            if program.process.poll() is None:
                program.kill()
        client.release(self.layout)
        # The guardian ends its server when the last user is gone.
        eventually(lambda: not self.layout.socket.exists(), timeout=20)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.end()


def acknowledged(submitter: Program) -> dict[str, int]:
    """Ids by task, of the submissions that were answered."""
    words = [line.split() for line in submitter.text.splitlines() if line.startswith("acknowledged ")]
    return {task: int(job) for _, task, job in words}


def test_nothing_acknowledged_is_lost_and_the_worker_comes_back_by_itself(
    house: House, tmp_path: Path
) -> None:
    assert house.start("manage.py", "migrate", "-v0").end(timeout=40) == 0
    worker = house.start("manage.py", "runworker").ready()
    history = History(tmp_path / "history.jsonl")
    submitter = house.start("-m", "tests.crash.submitter", str(history.path), str(COUNT))
    history.wait_for("end", 50, timeout=30)
    os.kill(house.postmaster(), signal.SIGQUIT)
    assert submitter.end(timeout=40) == 0, submitter.text
    promised = acknowledged(submitter)
    assert COUNT // 2 < len(promised) <= COUNT, "it went on after the restart"
    with house.connect() as connection:
        eventually(lambda: unfinished(connection) == 0, timeout=20)
        rows = connection.execute("SELECT payload ->> 'task', id, state, attempt FROM jobs_job").fetchall()
        found = {task: job for task, job, _, _ in rows}
        assert promised.items() <= found.items()
        assert Counter(state for _, _, state, _ in rows) == {"completed": len(rows)}
        history.ends_once({task: attempt for task, _, _, attempt in rows})
        assert worker.process.poll() is None, worker.text
        assert "database away" in worker.text, "the restart was felt"
        worker.send(signal.SIGTERM)
        assert worker.end() == 0, worker.text
        assert_consistent(connection.cursor(), at_rest=True)


def unfinished(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM jobs_job WHERE state <> 'completed'").fetchone()
    assert row is not None
    return int(row[0])
