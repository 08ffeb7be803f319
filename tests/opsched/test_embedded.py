"""The embedded database follows its users: starts with the first, ends with the last, survives every kill."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from opsched.embedded import client
from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.identity import Identity
from opsched.embedded.layout import Layout
from opsched.embedded.locks import Lock
from tests.opsched.conftest import User, gone, guardian, postmaster, processes_of, servers
from tests.support import eventually

StartUser = Callable[[], User]


def connect(layout: Layout) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(layout.socket_folder), user="opsched", dbname="opsched", autocommit=True)


def test_the_last_user_ends_it_and_not_the_first(layout: Layout, user: StartUser) -> None:
    first, second = user(), user()
    first.wait_until_up()
    second.wait_until_up()
    assert servers(layout) == 1
    first.leave()
    with connect(layout) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    second.leave()
    gone(layout)


def test_it_ends_when_every_user_is_killed(layout: Layout, user: StartUser) -> None:
    users = [user(), user()]
    for each in users:
        each.wait_until_up()
    for each in users:
        each.kill()
    gone(layout)


def test_it_ends_when_users_and_guardian_are_killed_together(layout: Layout, user: StartUser) -> None:
    one = user()
    one.wait_until_up()
    guardian(layout).send_signal(signal.SIGKILL)
    one.kill()
    gone(layout)


def test_committed_rows_survive_the_kill_of_everything(layout: Layout, user: StartUser) -> None:
    one = user()
    one.wait_until_up()
    with connect(layout) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
        # SIGKILL to the server first: no shutdown, no checkpoint, a stale postmaster.pid.
        for process in processes_of(layout):
            # A server's own children end with it, also between the look and the kill.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    one.kill()
    gone(layout)
    client.ensure(layout)
    try:
        with connect(layout) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    finally:
        client.release(layout, wait=15.0)
    gone(layout)


def test_a_server_that_dies_is_started_again_for_its_users(layout: Layout, user: StartUser) -> None:
    one = user()
    one.wait_until_up()
    before = postmaster(layout)
    before.kill()

    def answers() -> bool:
        try:
            with connect(layout) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    eventually(answers, timeout=20.0)
    assert postmaster(layout).pid != before.pid
    one.leave()
    gone(layout)


def test_a_living_user_gets_it_back_after_the_guardian_was_killed(layout: Layout) -> None:
    client.ensure(layout)
    try:
        killed = guardian(layout)
        killed.kill()
        eventually(lambda: not processes_of(layout), timeout=15.0)
        client.ensure(layout)
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        client.release(layout, wait=15.0)
    gone(layout)


def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(layout: Layout) -> None:
    client.ensure(layout)
    client.release(layout, wait=15.0)
    # As after a crash in a container, where small process numbers come again: this test's own number.
    layout.postmaster_pid.write_text(f"{os.getpid()}\n{layout.cluster}\n1700000000\n5432\n\n\n 1 1\nready\n")
    client.ensure(layout)
    try:
        assert postmaster(layout).pid != os.getpid()
    finally:
        client.release(layout, wait=15.0)


def test_many_at_once_start_one_server(layout: Layout, user: StartUser) -> None:
    users = [user() for _ in range(6)]
    for each in users:
        each.wait_until_up()
    assert servers(layout) == 1
    for each in users:
        each.leave()
    gone(layout)


def test_a_newcomer_during_the_stop_gets_a_running_server(layout: Layout, user: StartUser) -> None:
    one = user()
    one.wait_until_up()
    assert one.process.stdin is not None
    for _ in range(4):
        newcomer = user()
        one.kill()
        newcomer.wait_until_up()
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        one = newcomer
    one.leave()
    gone(layout)


def test_a_guardian_that_is_about_to_end_is_none(layout: Layout) -> None:
    """Its server has ended, the users' lock is free again, and its own is not yet."""
    layout.root.mkdir()
    ending = Lock.attempt(layout.guard, shared=False)
    assert ending is not None
    timer = threading.Timer(0.5, ending.close)
    timer.start()
    client.ensure(layout)
    try:
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        client.release(layout, wait=15.0)
        timer.join()


def test_it_is_durable_and_has_no_network_address(layout: Layout) -> None:
    client.ensure(layout)
    try:
        with connect(layout) as connection:
            wanted = {
                "fsync": "on",
                "synchronous_commit": "on",
                "full_page_writes": "on",
                "listen_addresses": "",
            }
            for name, value in wanted.items():
                assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        assert layout.socket_folder.stat().st_mode & 0o077 == 0
        assert layout.cluster.stat().st_mode & 0o077 == 0
    finally:
        client.release(layout, wait=15.0)


def test_a_folder_deep_down_gets_a_short_socket(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / ("d" * 60) / ("e" * 60) / "pg")
    assert not layout.socket.is_relative_to(layout.root)
    client.ensure(layout, temporary=True)
    try:
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        client.release(layout, wait=15.0)
    assert not layout.cluster.exists()
    assert not layout.socket_folder.exists()
    eventually(lambda: not layout.root.exists())


def test_a_folder_closed_to_others_works(tmp_path: Path) -> None:
    """As root PostgreSQL runs under another user, who may not enter a private folder by himself."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    layout = Layout(root=closed / "pg")
    client.ensure(layout, temporary=True)
    try:
        assert closed.stat().st_mode & 0o077 == 0
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert postmaster(layout).uids().effective != 0
    finally:
        client.release(layout, wait=15.0)


def test_data_of_another_version_is_refused_in_one_sentence(layout: Layout) -> None:
    layout.cluster.mkdir(parents=True)
    (layout.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match="written by PostgreSQL 17, this is version 18: dump it"):
        client.ensure(layout)
    client.release(layout)
    assert (layout.cluster / "PG_VERSION").read_text() == "17\n"


def test_a_file_in_the_place_of_the_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DatabaseUnavailable, match="cannot be used") as caught:
        client.ensure(Layout(root=tmp_path / "taken" / "pg"))
    assert "OPSCHED_DATA" in str(caught.value)


def test_an_interrupted_making_of_the_cluster_begins_anew(layout: Layout) -> None:
    layout.draft.mkdir(parents=True)
    (layout.draft / "PG_VERSION").write_text("18\n")
    client.ensure(layout)
    try:
        assert not layout.draft.exists()
    finally:
        client.release(layout, wait=15.0)


def test_a_forked_child_counts_as_a_user(layout: Layout) -> None:
    client.ensure(layout)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)  # ends when the parent closes its end
        os._exit(0)
    os.close(read)
    try:
        client.release(layout)
        with connect(layout) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        os.close(write)
        os.waitpid(pid, 0)
    gone(layout)


def test_the_servers_identity_has_no_more_rights_than_it_needs(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "program").write_text("")
    identity = Identity.choose([closed])
    code = (
        "import os, sys; print(os.geteuid(), os.access(sys.argv[1], os.R_OK),"
        " *[line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapPrm', 'CapEff'))])"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-c", code, str(closed / "program")],
        preexec_fn=identity.preparation(dies_with_parent=False),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    ).stdout.split()
    if os.geteuid() != 0:
        assert identity.uid is None
        assert said[:2] == [str(os.geteuid()), "True"]
    else:
        # access(2) included: PostgreSQL looks at its own programs with it. Of root's rights one is left.
        assert said[:4] == [str(identity.uid), "True", f"{2:016x}", f"{2:016x}"]
