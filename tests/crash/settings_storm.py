"""The project's settings with a lease of two seconds: shorter than the real one, and honest on a crowded machine."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

OPSCHED |= {"HEARTBEAT_SECONDS": 0.4, "LEASE_SECONDS": 2.0, "MAX_LOSSES": 0}  # type: ignore[dict-item]
