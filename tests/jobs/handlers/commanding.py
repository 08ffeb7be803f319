"""A call of `command.run`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from jobs.handlers.commands import command_run

Allow = Callable[..., None]
PYTHON = (sys.executable, "-I", "-c")


def call(ctx: Any, **payload: Any) -> dict[str, Any]:
    return command_run(ctx, {"command": "it", **payload})
