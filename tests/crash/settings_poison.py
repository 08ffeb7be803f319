"""The project's settings with a short lease and a kind that ends its worker; losses are counted as usual."""

from __future__ import annotations

from typing import Any

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

_SHORT: dict[str, Any] = {
    "HANDLER_MODULES": ("tests.crash.kinds_poison",),
    "HEARTBEAT_SECONDS": 0.2,
    "LEASE_SECONDS": 1.0,
}
OPSCHED |= _SHORT
