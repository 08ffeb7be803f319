"""The process that keeps the embedded database while somebody uses it: `python guardian.py ROOT [--temporary]`.

Started by `client`, detached from its terminal. It says "ready" (or one sentence) on its standard output and closes it.
While users live it restarts a server that died; when the last is gone it stops the server; told to (TERM), likewise.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import FrameType

from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.layout import Layout
from opsched.embedded.locks import Lock
from opsched.embedded.server import Server

__all__ = ["main"]

_log = logging.getLogger("opsched.embedded.guardian")
_ROUND = 0.2
_RESTARTS, _PER_SECONDS = 5, 60.0


class _Told(Exception):
    """TERM or INT arrived."""


def main(arguments: list[str]) -> int:
    layout, temporary = Layout(root=Path(arguments[0])), "--temporary" in arguments[1:]
    if os.fork():
        # The starter waits for this process; the guardian proper is nobody's child.
        os._exit(0)
    _listen_to_signals()
    guard = Lock.wait(layout.guard, shared=False, timeout=5.0)
    if guard is None:
        return _say("Another process is starting the embedded database: try again.")
    server = Server(layout)
    try:
        server.ensure_cluster()
        server.start()
    except (DatabaseUnavailable, OSError, subprocess.SubprocessError) as error:
        server.stop()
        return _say(_sentence(layout, error))
    except _Told:
        server.stop()
        return 0
    _say("ready")
    _watch(layout, server)
    if temporary:
        _delete(layout)
    return 0


def _watch(layout: Layout, server: Server) -> None:
    """Until the last user is gone, or we are told to stop. The users' lock stays taken until the server has ended."""
    everybody: Lock | None = None
    starts: deque[float] = deque(maxlen=_RESTARTS)
    try:
        while everybody is None:
            if not server.alive():
                _restart(server, starts)
            time.sleep(_ROUND)
            everybody = Lock.attempt(layout.users, shared=False)
    except _Told:
        _log.warning("told to stop")
    except DatabaseUnavailable as error:
        _log.error("%s", error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        server.stop()
    # `everybody` is given up by the end of this process: a newcomer starts after us, never beside us.


def _delete(layout: Layout) -> None:
    # Our lock's file last: whoever waits for the end waits for it.
    shutil.rmtree(layout.socket_folder, ignore_errors=True)
    shutil.rmtree(layout.cluster, ignore_errors=True)
    shutil.rmtree(layout.root, ignore_errors=True)


def _restart(server: Server, starts: deque[float]) -> None:
    now = time.monotonic()
    if len(starts) == _RESTARTS and now - starts[0] < _PER_SECONDS:
        raise DatabaseUnavailable(
            f"PostgreSQL died {_RESTARTS} times within {_PER_SECONDS:.0f} s: giving up."
        )
    starts.append(now)
    _log.warning("PostgreSQL died; starting it again")
    server.start()


def _sentence(layout: Layout, error: Exception) -> str:
    if isinstance(error, OSError):
        return (
            f"The data folder {layout.root} cannot be used ({error.strerror}): make it writable for this user, "
            "free some space, or set OPSCHED_DATA to another folder."
        )
    if isinstance(
        error, subprocess.SubprocessError
    ):  # what subprocess makes of a failure between fork and exec
        return (
            f"PostgreSQL cannot run as another user in {layout.root} here: put the project where everybody may enter, "
            "run opsched as an ordinary user, or set DATABASE_URL."
        )
    return str(error)


def _say(text: str) -> int:
    """The answer to the starter: everything until the pipe is closed."""
    os.write(1, text.encode())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    return 0 if text == "ready" else 1


def _listen_to_signals() -> None:
    def told(_signum: int, _frame: FrameType | None) -> None:
        raise _Told

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    sys.exit(main(sys.argv[1:]))
