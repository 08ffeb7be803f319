"""The project's settings with a kind whose process can only be killed, and little patience for it."""

from __future__ import annotations

from tests.crash.settings_short_drain import *  # noqa: F403 - a settings module is the names of another one, changed
from tests.crash.settings_short_drain import OPSCHED

OPSCHED |= {"HANDLER_MODULES": ("tests.crash.kinds_isolated",)}  # type: ignore[dict-item]
