"""The project's settings with a lease of a second, so that a test need not wait for the real one."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

# Workers are lost by the dozen, and no job is to blame for it.
OPSCHED |= {"HEARTBEAT_SECONDS": 0.2, "LEASE_SECONDS": 1.0, "MAX_LOSSES": 0}  # type: ignore[dict-item]
