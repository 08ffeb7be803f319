"""A lease that no test lives to see the end of: what runs again was not found out by watching."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

OPSCHED |= {"LEASE_SECONDS": 600.0}  # type: ignore[dict-item]
