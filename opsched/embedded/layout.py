"""Where the embedded database keeps its files. Names only: nothing here starts or asks anything.

Every process of an installation must come to the same names, so they depend on the data folder alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Layout"]

# The kernel's limit for the address of a unix socket is 108 bytes (104 on macOS), the file name included.
_LONGEST_SOCKET_PATH = 100
_SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of one embedded database."""

    root: Path
    """Holds all of them; absolute."""

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "cluster"

    @property
    def draft(self) -> Path:
        """Where a new cluster is made, so that an interrupted one is never taken for a whole one."""
        return self.root / "cluster.draft"

    @property
    def users(self) -> Path:
        """Locked (shared) by every process that uses the database."""
        return self.root / "users.lock"

    @property
    def guard(self) -> Path:
        """Locked by the guardian while it lives."""
        return self.root / "guardian.lock"

    @property
    def start(self) -> Path:
        """Locked by the process that is starting a guardian."""
        return self.root / "start.lock"

    @property
    def log(self) -> Path:
        """What the server and the guardian say; statements that failed stand in it."""
        return self.root / "postgres.log"

    def open_log(self) -> BinaryIO:
        """For appending; readable by its owner alone."""
        return os.fdopen(
            os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab"
        )

    @property
    def postmaster_pid(self) -> Path:
        return self.cluster / "postmaster.pid"

    @property
    def socket_folder(self) -> Path:
        """In the data folder; when that lies too deep, a short private folder among the temporary files."""
        near = self.root / "run"
        if len(os.fsencode(near / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return near
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"opsched-{os.geteuid()}-{name}"

    @property
    def socket(self) -> Path:
        return self.socket_folder / _SOCKET
