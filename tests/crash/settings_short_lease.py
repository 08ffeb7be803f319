"""The project's settings with a lease of a second, so that a test need not wait for the real one."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

OPSCHED |= {"HEARTBEAT_SECONDS": 0.2, "LEASE_SECONDS": 1.0}  # type: ignore[dict-item]
