"""The project's settings with little patience for jobs that still run when a worker stops."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

OPSCHED |= {"DRAIN_SECONDS": 0.5}  # type: ignore[dict-item]
