"""A call of `command.run`, and the programs it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from jobs.handlers.commands import command_run
from tests.support import eventually

Allow = Callable[..., None]
PYTHON = (sys.executable, "-I", "-c")


def call(ctx: Any, **payload: Any) -> dict[str, Any]:
    return command_run(ctx, {"command": "it", **payload})


def noted(pids: Path, count: int) -> list[int]:
    """The numbers the processes wrote down, when all have."""

    def complete() -> list[int]:
        found = [int(line) for line in pids.read_text().split()] if pids.exists() else []
        return found if len(found) == count else []

    return eventually(complete)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
