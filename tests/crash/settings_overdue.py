"""The project's settings with a kind that does not stop at its timeout, and no patience for it."""

from __future__ import annotations

from typing import Any

from tests.crash.settings_short_drain import *  # noqa: F403 - a settings module is the names of another one, changed
from tests.crash.settings_short_drain import OPSCHED

_IMPATIENT: dict[str, Any] = {
    "HANDLER_MODULES": ("tests.crash.kinds_deaf",),
    "KILL_GRACE_SECONDS": 0.2,
    "MAX_ABANDONED": 0,
}
OPSCHED |= _IMPATIENT
