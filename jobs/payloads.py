"""Checks what a client hands in and turns it into the text that is stored. Pure: no database, no registry.

Every refusal is an `InvalidSubmission` that names the field, so that nothing half-right reaches a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.errors import InvalidSubmission

__all__ = [
    "check_integer",
    "check_later",
    "check_name",
    "check_seconds",
    "check_text",
    "check_time",
    "encode_json",
    "encode_plain",
    "named_twice",
]

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_UNREADABLE = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_HEAD = 100
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def encode_json(value: Any, *, field: str, max_bytes: int, max_depth: int) -> str:
    """The JSON text of `value`. Refuses what JSON or PostgreSQL cannot hold, and what is too large or too deep."""
    try:
        text = _ENCODER.encode(value)
    except RecursionError:
        raise InvalidSubmission(
            field, f"is nested deeper than {max_depth} levels or refers to itself"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidSubmission(field, f"is not JSON: {error}") from None
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidSubmission(field, "has a lone surrogate, which is no valid Unicode text") from None
    if size > max_bytes:
        raise InvalidSubmission(field, f"has {size:,} bytes; at most {max_bytes:,} are allowed")
    # Both walks are needed only where the text gives a reason: most payloads are small and flat.
    if text.count("{") + text.count("[") > max_depth and _depth(value) > max_depth:
        raise InvalidSubmission(field, f"is nested deeper than {max_depth} levels")
    if "\\u0000" in text and _has_nul(value):
        raise InvalidSubmission(field, "has a NUL character, which PostgreSQL cannot store")
    return text


def encode_plain(values: Sequence[Any], *, max_bytes: int, max_depth: int) -> str | None:
    """Many objects as one JSON array, where the whole shows that each of them passes `encode_json`; else None.

    Then they have to be looked at one by one, which also finds out which is wrong.
    """
    if any(type(value) is not dict for value in values):
        return None
    try:
        text = _ENCODER.encode(values)
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except (RecursionError, TypeError, ValueError):
        return None
    # Each brace beyond the array's and one for each object may be a further level of one and the same object.
    levels = text.count("{") + text.count("[") - len(values)
    return text if size <= max_bytes and levels <= max_depth and "\\u0000" not in text else None


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, dict | list | tuple):
            deepest = max(deepest, level)
            stack.extend((child, level + 1) for child in (item.values() if isinstance(item, dict) else item))
    return deepest


def _has_nul(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item:
                return True
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)
    return False


def check_text(value: Any, *, field: str, max_length: int, empty: bool = False) -> str:
    """A text that PostgreSQL can store and people can read."""
    if not isinstance(value, str):
        raise InvalidSubmission(field, "must be a text")
    if not value and not empty:
        raise InvalidSubmission(field, "must not be empty")
    if len(value) > max_length:
        raise InvalidSubmission(field, f"has {len(value)} characters; at most {max_length} are allowed")
    if _UNREADABLE.search(value):
        raise InvalidSubmission(field, "has a control character or a lone surrogate")
    return value


def check_name(value: Any, *, field: str, max_length: int) -> str:
    """A text that can be seen where it stands in a list."""
    text = check_text(value, field=field, max_length=max_length)
    if not text.strip():
        raise InvalidSubmission(field, "must not be blank")
    return text


def check_integer(value: Any, *, field: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSubmission(field, "must be a whole number")
    if not low <= value <= high:
        raise InvalidSubmission(field, f"must be within {low}..{high}, not {value}")
    return value


def check_seconds(value: Any, *, field: str, high: float) -> float:
    """A duration in seconds, greater than 0 and at most `high`. NaN fails the comparison and is refused with it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSubmission(field, "must be a number of seconds")
    if not 0 < value <= high:
        raise InvalidSubmission(field, f"must be above 0 and at most {high:,.15g} seconds")
    return float(value)


def check_time(value: Any, *, field: str) -> datetime:
    """An instant with a zone, between 1970 and 2200."""
    if not isinstance(value, datetime):
        raise InvalidSubmission(field, "must be a date with time and zone")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidSubmission(field, 'has no time zone; add one, such as "Z" or "+01:00"')
    try:
        inside = EARLIEST <= value < LATEST
    except OverflowError:
        inside = False
    if not inside:
        raise InvalidSubmission(field, "must lie between the years 1970 and 2200")
    return value


def check_later(value: Any, *, field: str, now: datetime, earliest: datetime | None) -> datetime:
    """An instant ahead, and not before `earliest`, the job's own earliest start."""
    found = check_time(value, field=field)
    if found <= now:
        raise InvalidSubmission(field, "lies in the past")
    if earliest is not None and found <= earliest:
        raise InvalidSubmission(field, "must be later than scheduled_at, or the job could never begin")
    return found


def named_twice(pairs: list[tuple[str, Any]]) -> str | None:
    """The first key of a JSON object that another of its pairs has as well: programs differ about which counts."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return json.dumps(name[:_HEAD])
        seen.add(name)
    return None
