"""The negative control: as `settings_deaf`, and completion goes by the job's id alone."""

from __future__ import annotations

from jobs.store import statements
from tests.crash.settings_deaf import *  # noqa: F403 - a settings module is the names of another one, changed

_FENCE = "WHERE j.id = u.id AND j.attempt = u.attempt AND j.worker_id = %(worker)s AND j.state = 'running'"
_deaf = statements.statement


def _without_fence(name: str) -> str:
    text = _deaf(name)
    if name == "complete":
        assert _FENCE in text
        text = text.replace(_FENCE, "WHERE j.id = u.id AND %(worker)s > 0")
    return text


statements.statement = _without_fence  # type: ignore[assignment]
