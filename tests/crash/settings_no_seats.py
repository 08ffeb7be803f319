"""The negative control of the seats: a process is told nothing of the one before it."""

from __future__ import annotations

from jobs.seat import Seat
from tests.crash.settings_long_lease import *  # noqa: F403 - a settings module is the names of another one, changed

Seat.taken_by = (0, 0)  # type: ignore[method-assign, assignment]
