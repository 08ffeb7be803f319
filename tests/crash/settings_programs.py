"""The project's settings with a program that says which process it is, sleeps, and does not heed TERM."""

from __future__ import annotations

import os

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

_PROGRAM = ["/bin/sh", "-c", "trap '' TERM; echo $$ > pids; sleep 60; true"]
_SLEEP = {"argv": _PROGRAM, "timeout": 60.0, "cwd": os.environ["PROGRAMS_IN"]}
OPSCHED |= {"COMMANDS": {"sleep": _SLEEP}}  # type: ignore[dict-item]
