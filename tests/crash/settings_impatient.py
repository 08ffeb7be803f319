"""The project's settings with a database that counts as away after a second of silence, and a short lease."""

from __future__ import annotations

from tests.crash.settings_short_lease import *  # noqa: F403 - a settings module is the names of another one, changed
from tests.crash.settings_short_lease import OPSCHED

OPSCHED |= {"EVENTS": {"DATABASE_SECONDS": 1.0}}  # type: ignore[dict-item]
