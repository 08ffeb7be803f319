"""The defaults, but no job is blamed for the deaths of its workers: those that a storm kills die of the storm.

It kills every two seconds, which is when the jobs of the worker before begin again, so that one or two of them meet it
three times. What becomes of jobs that kill their workers themselves is for `test_poison`.
"""

from __future__ import annotations

from opsched.settings import *  # noqa: F403 - a settings module is the names of another one, changed
from opsched.settings import OPSCHED

OPSCHED |= {"MAX_LOSSES": 0}  # type: ignore[dict-item]
