"""Due times by the worker's own wall clock instead of the database's: the negative control of clock steps."""

from __future__ import annotations

import time

from jobs.store import statements
from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed

_CLOCK = "clock_timestamp()"
_real = statements.statement


def _by_the_wall(name: str) -> str:
    text = _real(name)
    if name in ("promote", "database_clock"):
        assert _CLOCK in text
        text = text.replace(_CLOCK, f"to_timestamp({time.time():.6f})")
    return text


statements.statement = _by_the_wall  # type: ignore[assignment]
