"""`manage.py demo` as a person meets it: started, looked at, ended, killed, started again; nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from opsched.embedded.layout import Layout
from tests.opsched.conftest import ROOT, gone, postmaster
from tests.support import eventually

pytestmark = pytest.mark.slow


class Demo:
    """One run of the demo on a free port."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.layout = Layout(root=data / "pg")
        self.log = data.parent / f"demo-{self.port}.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPSCHED", "DATABASE", "CI"))}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--port", str(self.port)],
                cwd=ROOT,
                env={**kept, "OPSCHED_DATA": str(data)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self) -> None:
        eventually(lambda: "opsched is ready" in self.said() or self.process.poll() is not None, timeout=60)
        assert self.process.poll() is None, self.said()

    def children(self) -> dict[str, psutil.Process]:
        """By what they are: web, worker."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = " ".join(child.cmdline())
            found["web" if "daphne" in words else "worker"] = child
        return found

    def end(self, signum: signal.Signals = signal.SIGTERM) -> float:
        """Seconds from the signal to the end of everything."""
        children = list(self.children().values())
        began = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(20)
        psutil.wait_procs(children, timeout=20)
        gone(self.layout)
        return time.monotonic() - began

    def query(self, sql: str) -> list[tuple[object, ...]]:
        host = str(self.layout.socket_folder)
        with psycopg.connect(host=host, user="opsched", dbname="opsched") as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    started: list[Demo] = []

    def start() -> Demo:
        started.append(Demo(tmp_path / "data"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.terminate()
            each.process.wait(20)


def test_it_shows_every_fate_and_ends_without_a_trace(demo: Callable[[], Demo]) -> None:
    first = demo()
    first.wait_until_ready()
    assert httpx.get(f"http://127.0.0.1:{first.port}/healthz").json() == {"status": "ok"}
    eventually(lambda: httpx.get(f"http://127.0.0.1:{first.port}/readyz").status_code == 200)
    password = re.search(r"operator with the password (\S+)", first.said())
    assert password
    assert login(first, password[1]).headers["location"] == "/admin/"

    eventually(lambda: first.query("SELECT state FROM jobs_workflow") == [("completed",)], timeout=60)
    eventually(
        lambda: first.query("SELECT kind FROM jobs_deadletter") == [("demo.broken_import",)], timeout=30
    )
    burst = "SELECT count(*) FROM jobs_job WHERE kind = 'demo.small' AND state = 'completed'"
    eventually(lambda: first.query(burst) == [(200,)], timeout=60)
    assert first.query("SELECT attempt FROM jobs_job WHERE kind = 'demo.flaky_step'") == [(3,)]
    assert first.query("SELECT name FROM jobs_schedule ORDER BY name") == [
        ("every minute",),
        ("nightly pipeline",),
    ]
    assert re.search(r"^web    \| .*GET /healthz", first.said(), re.MULTILINE)
    assert re.search(r"^worker \| ", first.said(), re.MULTILINE)

    assert first.end(signal.SIGINT) <= 10
    assert "ended; the data stays in" in first.said()
    assert first.process.returncode == 0

    began = time.monotonic()
    second = demo()
    second.wait_until_ready()
    assert time.monotonic() - began <= 10
    assert "the password is unchanged" in second.said()
    assert second.query("SELECT count(*) FROM jobs_workflow") == [(1,)]
    assert login(second, password[1]).status_code == 302
    assert second.end(signal.SIGTERM) <= 10


def login(demo: Demo, password: str) -> httpx.Response:
    with httpx.Client(base_url=f"http://127.0.0.1:{demo.port}") as client:
        client.get("/admin/login/?next=/admin/")
        form = {
            "username": "operator",
            "password": password,
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        return client.post("/admin/login/?next=/admin/", data={**form, "next": "/admin/"})


def test_a_killed_demo_leaves_nothing_running_and_starts_again(demo: Callable[[], Demo]) -> None:
    first = demo()
    first.wait_until_ready()
    first.end(signal.SIGKILL)
    second = demo()
    second.wait_until_ready()
    assert second.end() <= 10


@pytest.mark.parametrize("victim", ["web", "worker"])
def test_a_killed_child_ends_the_demo_and_is_named(demo: Callable[[], Demo], victim: str) -> None:
    one = demo()
    one.wait_until_ready()
    others = one.children()
    others[victim].kill()
    assert one.process.wait(15) == 1
    psutil.wait_procs(list(others.values()), timeout=10)
    assert f"The {victim} process was ended by signal 9" in one.said()
    gone(one.layout)


def test_a_killed_database_comes_back_under_the_running_demo(demo: Callable[[], Demo]) -> None:
    one = demo()
    one.wait_until_ready()
    postmaster(one.layout).kill()
    url = f"http://127.0.0.1:{one.port}/readyz"
    eventually(lambda: httpx.get(url, timeout=20).status_code == 200, timeout=30, interval=0.2)

    def new_work_is_done() -> bool:
        done = one.query("SELECT count(*) FROM jobs_job WHERE state = 'completed' AND kind = 'demo.small'")
        return done == [(200,)]

    eventually(new_work_is_done, timeout=60, interval=0.2)
    assert one.process.poll() is None, one.said()
    assert one.end() <= 10


def test_a_taken_port_ends_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "demo", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "OPSCHED_DATA": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {port} is in use: end what uses it, or take another" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "pg").exists()
