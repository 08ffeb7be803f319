"""The negative control of the honest job: what has been claimed for more than a lease is taken, as elsewhere."""

from __future__ import annotations

from jobs.store import statements
from tests.crash.settings_burn import *  # noqa: F403 - a settings module is the names of another one, changed

_LOST = "WHERE w.state IN ('lost', 'stopped')"
_real = statements.statement


def _by_age(name: str) -> str:
    text = _real(name)
    if name == "orphaned_claims":
        assert _LOST in text
        text = text.replace(_LOST, "WHERE c.claimed_at < clock_timestamp() - interval '2 s'")
    return text


statements.statement = _by_age  # type: ignore[assignment]
