"""Under which identity PostgreSQL runs: ours, or `nobody` when we are root, because PostgreSQL refuses root.

Changing the owner is not enough when the project lies in a folder that only root may enter (`/root`, a private
checkout): then the child keeps one capability, to pass closed folders. Permissions of folders are never widened.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from opsched.embedded.errors import DatabaseUnavailable

__all__ = ["Identity"]

# From <linux/prctl.h> and <linux/capability.h>; the interpreter offers no names for them.
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who PostgreSQL is."""

    uid: int | None
    """Another user, or None for ours."""
    gid: int = 0
    passes_closed_folders: bool = False
    """Keep CAP_DAC_OVERRIDE: some folder on the way is closed to that user."""

    @classmethod
    def choose(cls, folders: Iterable[Path]) -> Identity:
        """The identity for a server that must reach these folders."""
        if os.geteuid() != 0:
            return cls(uid=None)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise DatabaseUnavailable(
                "PostgreSQL refuses to run as root and this system has no user `nobody`: run opsched as an "
                "ordinary user, or set DATABASE_URL."
            ) from None
        closed = any(_closed(folder) for folder in folders)
        return cls(uid=nobody.pw_uid, gid=nobody.pw_gid, passes_closed_folders=closed)

    def own(self, path: Path) -> None:
        """Give a file or folder to that user."""
        if self.uid is not None:
            os.chown(path, self.uid, self.gid)

    def preparation(self, *, dies_with_parent: bool) -> Callable[[], None]:
        """What the child does between fork and exec."""
        libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

        def prepare() -> None:
            if self.uid is not None:
                if libc is not None and self.passes_closed_folders:
                    # Capabilities then survive setuid, and access(2), which PostgreSQL asks about itself, sees them.
                    _done(libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
                os.setgroups([])
                os.setgid(self.gid)
                os.setuid(self.uid)
                if libc is not None and self.passes_closed_folders:
                    _keep_one_capability(libc)
            if libc is not None and dies_with_parent:
                # After setuid, which clears it. SIGINT is PostgreSQL's fast shutdown.
                libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)

        return prepare


def _closed(folder: Path) -> bool:
    return any(
        not place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents) if place.exists()
    )


def _keep_one_capability(libc: ctypes.CDLL) -> None:
    """All others are given up here, and this must not fail: better no server than one with root's rights."""
    bit = 1 << _CAP_DAC_OVERRIDE
    data = (_Data * 2)(_Data(bit, bit, bit))
    _done(libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data))
    # Without this the capability ends at exec.
    _done(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the system refuses capabilities")
