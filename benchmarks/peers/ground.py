"""The ground of a peer: a database of its own in the same cluster, or a Redis of its own; its programs run on it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ground import query, until

__all__ = ["PEERS", "Peer", "Team", "drained", "latencies", "open_peer", "redis_server"]

PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`left`: says whether jobs are left, None where only the workers' counts can tell. `share`: of the usual number.

    A peer that needs minutes for 100,000 jobs is given fewer; its rate does not depend on how many there are.
    """

    name: str
    share: float
    left: str | None = None
    redis: bool = False


PEERS = {
    peer.name: peer
    for peer in (
        Peer(name="pgqueuer", share=1.0, left="SELECT EXISTS (SELECT FROM pgqueuer)"),
        Peer(
            name="chancy",
            share=0.2,
            left="SELECT EXISTS (SELECT FROM chancy_jobs WHERE state NOT IN ('succeeded', 'failed'))",
        ),
        Peer(
            name="oban",
            share=0.2,
            left="SELECT EXISTS (SELECT FROM oban_jobs WHERE state IN ('available', 'executing'))",
        ),
        Peer(
            name="procrastinate",
            share=0.04,
            left="SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
        ),
        Peer(name="dramatiq", share=0.2, redis=True),
        Peer(name="taskiq", share=0.2, redis=True),
        Peer(name="celery", share=0.05, redis=True),
    )
}


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis on a free port of this machine, keeping nothing; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="opsched-bench-redis-") as folder:
        arguments = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        server = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        try:
            until(lambda: _listens(port), seconds=10.0)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(10)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


@dataclass(slots=True, kw_only=True)
class Team:
    """A peer on its ground."""

    peer: Peer
    python: str
    environment: dict[str, str]
    batch: int = 500
    connection: psycopg.Connection[Any] | None = field(default=None)

    def run(self, command: str, *numbers: float) -> float:
        """One command of its program; the seconds it took."""
        done = subprocess.run(
            self._command(command, *map(str, numbers)),
            env=self._environment(),
            check=True,
            stdout=subprocess.PIPE,
        )
        return float(json.loads(done.stdout.splitlines()[-1])["seconds"] or 0.0)

    def left(self) -> bool:
        """Are there jobs that have not been recorded as done?"""
        if self.connection is None or self.peer.left is None:
            return False
        return bool(self.connection.execute(self.peer.left).fetchone() == (True,))

    @contextlib.contextmanager
    def workers(self, processes: int) -> Iterator[list[subprocess.Popen[str]]]:
        """Worker processes that have imported everything, started by one word."""
        team = [
            subprocess.Popen(
                self._command("work"),
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]
        try:
            for one in team:
                if _line(one) != "ready":
                    raise AssertionError(f"{self.peer.name} did not get ready")
            for one in team:
                _say(one, "go")
            yield team
        finally:
            for one in team:
                with contextlib.suppress(OSError):
                    _say(one, "stop")
                try:
                    one.wait(10)
                except subprocess.TimeoutExpired:
                    one.kill()
                    one.wait(10)

    def _command(self, *words: str) -> list[str]:
        return [self.python, str(PROGRAMS / f"run_{self.peer.name}.py"), *words]

    def _environment(self) -> dict[str, str]:
        return {**self.environment, "PEER_BATCH": str(self.batch)}


def told(team: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What each worker has run so far."""
    for one in team:
        _say(one, "tell")
    return [json.loads(_line(one)) for one in team]


def _say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        # Some peers greet on standard output.
        if line.strip() == "ready" or line.startswith("{"):
            return line.strip()
    raise AssertionError("the worker ended")


@contextlib.contextmanager
def open_peer(peer: Peer, python: str, redis: str) -> Iterator[Team]:
    """The peer with a fresh database, set up."""
    from django.db import connections

    settings = connections["default"].get_connection_params()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"PYTHONPATH": str(PROGRAMS), "PYTHONDONTWRITEBYTECODE": "1", "PEER_REDIS": redis}
    environment["C_FORCE_ROOT"] = "1"  # celery, which else refuses where the benchmark runs as root
    database = f"peer_{peer.name}"
    if peer.redis:
        team = Team(peer=peer, python=python, environment=environment)
        team.run("setup")
        yield team
        return
    query(f'CREATE DATABASE "{database}"')
    environment |= {
        "PEER_HOST": str(settings["host"]),
        "PEER_USER": str(settings["user"]),
        "PEER_DATABASE": database,
        "PGPORT": str(settings.get("port", 5432)),
    }
    team = Team(peer=peer, python=python, environment=environment)
    team.run("setup")
    with psycopg.connect(
        host=settings["host"], user=settings["user"], dbname=database, autocommit=True
    ) as connection:
        team.connection = connection
        yield team
        team.connection = None
    query(f'DROP DATABASE "{database}" WITH (FORCE)')


def drained(team: Team, processes: int, count: int, *, seconds: float = 600.0) -> float:
    """Jobs per second, from the first job's start to the last one recorded as done."""
    if team.connection is not None:
        # As our own database is before a drain: `benchmarks.ground.tidied`.
        team.connection.execute("VACUUM (ANALYZE)")
        team.connection.execute("CHECKPOINT")
    with team.workers(processes) as workers:
        until(lambda: _ran(told(workers)) >= count and not team.left(), seconds=seconds)
        ended = time.time()
        answers = told(workers)
    if not all(one["count"] for one in answers):
        raise AssertionError(f"of {processes} workers of {team.peer.name} one ran nothing")
    return count / (ended - min(one["first"] for one in answers))


def _ran(answers: list[dict[str, Any]]) -> int:
    return sum(one["count"] for one in answers)


def latencies(team: Team, count: int, gap: float) -> list[float]:
    """Milliseconds from the call that submits to the handler's first line, sorted; one worker, idle at each."""
    with team.workers(1) as workers:
        time.sleep(2.0)
        team.run("paced", count, gap)
        # Not by their number alone: a broker may deliver again what was run before and not confirmed.
        until(lambda: len(told(workers)[0]["late"]) >= count, seconds=60.0)
        return sorted(told(workers)[0]["late"])
