"""Half of the real lease, and the kind that burns: 240 leases in ten minutes, as many as the real one has in twenty."""

from __future__ import annotations

from tests.crash.settings_burn import *  # noqa: F403 - a settings module is the names of another one, changed
from tests.crash.settings_burn import OPSCHED

OPSCHED |= {"HEARTBEAT_SECONDS": 0.5, "LEASE_SECONDS": 2.5}  # type: ignore[dict-item]
