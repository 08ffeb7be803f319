"""A supervisor with children that do nothing, for test_supervisor: `python supervised.py FOLDER MODE`.

Each child writes its pid to a file of FOLDER and waits. It ends when its parent's pipe closes, as a worker does.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from pathlib import Path

from jobs import supervisor

FOLDER, MODE = Path(sys.argv[1]), sys.argv[2]


def child(parent: int, number: int) -> int:
    if MODE == "hopeless":
        raise RuntimeError("no way to start")
    terms: list[int] = []
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, lambda one, _: terms.append(one))
    (FOLDER / f"{number}-{os.getpid()}").touch()
    while True:
        ready, _, _ = select.select([parent, awake], [], [])
        if parent in ready:
            return 0
        os.read(awake, 100)
        if MODE != "stubborn" or len(terms) > 1:
            return 0


if MODE == "hopeless":
    supervisor.RESTART_WAIT = 0.02
if MODE == "slow":
    supervisor.RESTART_WAIT = 2.0
logging.basicConfig(stream=sys.stderr)
sys.exit(supervisor.Supervisor(count=2, child=child).run())
