"""PostgreSQL ends at once (as with `pg_ctl -m immediate`) in the middle of load, on a database of this test's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobs.store.telling import were_written, write_lines
from tests.crash.faults import Done, children, judge, until_none_is_left
from tests.crash.harness import History, Program
from tests.crash.house import House
from tests.support import eventually
from tests.support_consistency import assert_consistent

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How often the server ends, how long after the last time, and the jobs whose ends make the pace."""

    restarts: int
    apart: float
    backlog: int


PAYLOAD = '{"task": "t", "seconds": 0}'
PACE = {"tasks": "p", "share": 0.9, "within": 5.0, "window": 2.0, "before": 2.0}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.end()


def acknowledged(client: Program) -> dict[str, int]:
    """Ids by task, of the submissions that were answered."""
    whole, _, _ = client.text.rpartition("\n")  # the last line may be on its way
    words = [line.split() for line in whole.split("\n") if line.startswith("acknowledged ")]
    return {task: int(job) for _, task, job in words}


def load(house: House, history: History, jobs: int) -> Program:
    """A client that has submitted so many jobs of 100 ms, and goes on with one after the other."""
    client = house.start("-m", "tests.crash.submitter", str(history.path), "--backlog", str(jobs))
    eventually(lambda: len(acknowledged(client)) >= jobs, timeout=40, interval=0.2)
    return client


def wait_for_an_end_after(history: History, moment: float) -> None:
    """So long has it been working since."""

    def ended() -> bool:
        return any(line["event"] == "end" and line["at"] > moment for line in reversed(history.lines()))

    eventually(ended, timeout=60, interval=0.2)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Load(restarts=1, apart=2.5, backlog=1_300), id="short"),
        pytest.param(Load(restarts=5, apart=15.0, backlog=13_000), id="long", marks=pytest.mark.faults),
    ],
)
def test_nothing_acknowledged_is_lost_and_workers_come_back_to_their_pace_by_themselves(
    size: Load, house: House, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    assert house.start("manage.py", "migrate", "-v0").end(timeout=60) == 0
    history = History(tmp_path / "history.jsonl")
    client = load(house, history, size.backlog)
    team = house.start("manage.py", "runworker", "--processes", "2").ready()
    family = eventually(lambda: len(found := children(team)) == 2 and found, timeout=20)
    restarts = []
    for _ in range(size.restarts):
        wait_for_an_end_after(history, time.time() + size.apart)
        restarts.append(house.restart())
    client.send(signal.SIGTERM)
    assert client.end() == 0, client.text
    with house.connect() as connection:
        cursor = connection.cursor()
        assert until_none_is_left(cursor, timeout=180), team.text
        assert children(team) == family, "the same processes"
        assert team.text.count("database away") >= size.restarts, "the restarts were felt"
        team.send(signal.SIGTERM)
        assert team.end() == 0, team.text
        verdict = judge(cursor, tmp_path, history, acknowledged(client), Done(), restarts=restarts, pace=PACE)
        record_property("figures", verdict.figures)
        assert not verdict.violations, verdict.violations[:10]
        assert len(acknowledged(client)) > size.backlog, "some were submitted one by one meanwhile"
        assert_consistent(cursor, at_rest=True)


@pytest.mark.parametrize("whole", [True, False], ids=["the server ends", "one backend is killed"])
def test_lines_that_a_crash_undid_are_not_taken_for_written(house: House, whole: bool) -> None:
    """Their transaction's id and their own ids are given out again, to others, which commit.

    Neither "that transaction committed" nor "that id is there" says anything then; nor does the time at which the
    server was started, which stays where only a backend is killed.
    """
    assert house.start("manage.py", "migrate", "-v0").end(timeout=60) == 0
    client = house.start("manage.py", "jobs", "submit", "workflow.task", "--payload", PAYLOAD)
    assert client.end(timeout=60) == 0, client.text
    with house.connect() as connection:
        for setting in ("wal_writer_delay = '10s'", "wal_writer_flush_after = '1GB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        job = one(connection, "SELECT id FROM jobs_job")
    lines = [(job, 1, 1_700_000_000.5, "info", f"line {number}") for number in range(3)]
    with house.connect() as lost, house.connect() as witness:
        started = one(lost, "SELECT pg_postmaster_start_time()")
        lost.execute("CHECKPOINT")
        cursor = lost.cursor()
        cursor.execute("BEGIN")
        marks = write_lines(cursor, lines, keep=10)
        xid = one(lost, "SELECT pg_current_xact_id()::text")
        if whole:
            house.restart()
        else:
            os.kill(lost.info.backend_pid, signal.SIGKILL)
            # Before the server has noticed it answers still; when it has, it ends all others first.
            eventually(lambda: _is_cut(witness), timeout=60)
            eventually(house.answers, timeout=60)
        with pytest.raises(psycopg.OperationalError):
            cursor.execute("COMMIT")
    others = [(job, 1, 1_700_000_000.5, "info", f"other {number}") for number in range(3)]
    with house.connect() as connection:
        cursor = connection.cursor()
        assert one(connection, "SELECT count(*) FROM jobs_logline") == 0
        with connection.transaction():
            again = write_lines(cursor, others, keep=10)
            assert one(connection, "SELECT pg_current_xact_id()::text") == xid, "the ground of this test"
        assert [number for number, _ in again] == [number for number, _ in marks], "likewise"
        assert one(connection, f"SELECT pg_xact_status('{xid}'::xid8)") == "committed"
        assert (one(connection, "SELECT pg_postmaster_start_time()") == started) is not whole
        assert not were_written(cursor, marks, keep=10)
        assert were_written(cursor, again, keep=10)


def _is_cut(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_without_a_synchronous_commit_acknowledged_jobs_are_seen_to_be_lost(
    house: House, tmp_path: Path
) -> None:
    """The negative control: commits are acknowledged before they are on the disk, and written there much later."""
    assert house.start("manage.py", "migrate", "-v0").end(timeout=60) == 0
    history = History(tmp_path / "history.jsonl")
    with house.connect() as connection:
        for setting in ("wal_writer_delay = '10s'", "wal_writer_flush_after = '1GB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    client = house.start(
        "-m", "tests.crash.submitter", str(history.path), PGOPTIONS="-c synchronous_commit=off"
    )
    eventually(lambda: len(acknowledged(client)) >= 30, timeout=40)
    house.restart()
    client.send(signal.SIGTERM)
    assert client.end() == 0, client.text
    history.path.touch()
    with house.connect() as connection:
        found = judge(connection.cursor(), tmp_path, history, acknowledged(client), Done()).violations
    assert any("was acknowledged as job" in one for one in found), found[:10]
