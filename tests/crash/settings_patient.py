"""The same without the bound on an answer: the negative control."""

from __future__ import annotations

from notifications.pg import BoundedConnection
from tests.crash.settings_impatient import *  # noqa: F403 - a settings module is the names of another one, changed

del BoundedConnection.wait
