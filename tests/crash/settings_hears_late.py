"""A short lease, and workers that hear four seconds late that they were declared lost: till then there is the fence."""

from __future__ import annotations

from jobs.store import statements
from tests.crash.settings_storm import *  # noqa: F403 - a settings module is the names of another one, changed

_HEARS = "state IN ('live', 'draining')"
_LATE = f"({_HEARS} OR stopped_at > clock_timestamp() - interval '4 s')"
_real = statements.statement


def _hears_late(name: str) -> str:
    text = _real(name)
    if name == "heartbeat":
        assert _HEARS in text
        # It stays lost for everybody else: only the answer to its own heartbeat comes late.
        text = text.replace(_HEARS, _LATE).replace(
            "state = %(state)s", "state = CASE WHEN state = 'lost' THEN state ELSE %(state)s END"
        )
    return text


statements.statement = _hears_late  # type: ignore[assignment]
