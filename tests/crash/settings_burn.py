"""A lease of two seconds, and the kind that burns."""

from __future__ import annotations

from tests.crash.settings_storm import *  # noqa: F403 - a settings module is the names of another one, changed
from tests.crash.settings_storm import OPSCHED

OPSCHED |= {"HANDLER_MODULES": ("tests.crash.kinds_faults",)}  # type: ignore[dict-item]
