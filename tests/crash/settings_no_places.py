"""The negative control: as `settings_storm`, and the places that running jobs hold are not counted."""

from __future__ import annotations

from jobs.store import statements
from tests.crash.settings_storm import *  # noqa: F403 - a settings module is the names of another one, changed

_HELD = "q.max_running - (SELECT count(*) FROM jobs_permit p WHERE p.queue = q.name)"
_real = statements.statement


def _without_places(name: str) -> str:
    text = _real(name)
    if name in ("limited_heads", "claim_limited"):
        assert _HELD in text
        text = text.replace(_HELD, "q.max_running")
    return text


statements.statement = _without_places  # type: ignore[assignment]
