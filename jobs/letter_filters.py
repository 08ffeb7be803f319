"""By what a set of dead letters is chosen: checked values, and the same as people and JSON read them.

Pure. An empty filter means all dead letters, and has to be asked for as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs.acting import checked_ids
from jobs.core.suggestion import did_you_mean, nearest
from jobs.errors import InvalidSubmission
from jobs.payloads import check_integer, check_text, check_time

__all__ = ["NAMES", "checked_filters", "told"]

NAMES = ("ids", "kind", "queue", "fingerprint", "error_class", "workflow", "died_after", "died_before")
_LENGTHS = {"kind": 100, "queue": 100, "fingerprint": 32, "error_class": 200}


def checked_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters that were given, each of its type. Raises InvalidSubmission that names the field."""
    found = {name: value for name, value in filters.items() if value is not None and value != ""}
    for name in found:
        if name not in NAMES:
            raise InvalidSubmission(name, f"there is no such filter{did_you_mean(nearest(name, NAMES))}")
    for name, length in _LENGTHS.items():
        if name in found:
            check_text(found[name], field=name, max_length=length)
    for name in ("died_after", "died_before"):
        if name in found:
            check_time(found[name], field=name)
    if "workflow" in found:
        check_integer(found["workflow"], field="workflow", low=1, high=2**63 - 1)
    if "ids" in found:
        found["ids"] = checked_ids(found["ids"])
    return found


def told(filters: Mapping[str, Any]) -> dict[str, Any]:
    """For the run's row: ids as their number, times as ISO 8601."""
    return {
        name: len(value) if name == "ids" else value.isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
    }
