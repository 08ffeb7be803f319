"""Server-sent events on the wire. Pure: text in, bytes out.

A line break or NUL in a field would let a payload forge fields or whole events for the reader, so ids and event
names with one are refused, and data and comments are split at every kind of break that a parser knows.
"""

from __future__ import annotations

import re

__all__ = ["comment", "event", "retry"]

_BREAK = re.compile(r"\r\n|\r|\n")
_UNSAFE = re.compile(r"[\r\n\x00]")


def event(*, data: str, name: str | None = None, id: str | None = None) -> bytes:  # noqa: A002  # SSE's own word
    """One event."""
    lines = []
    if id is not None:
        lines.append(f"id: {_field('id', id)}")
    if name is not None:
        lines.append(f"event: {_field('event', name)}")
    lines.extend(f"data: {line}" for line in _split(data))
    return _encode([*lines, "", ""])


def comment(text: str) -> bytes:
    """Lines that readers ignore; keeps the connection open.

    No blank line behind it: that ends an event, and some readers report an empty one.
    """
    return _encode([*(f": {line}" for line in _split(text)), ""])


def retry(milliseconds: int) -> bytes:
    """How long the reader waits before it connects again. Put it in front of an event, for the same reason."""
    return _encode([f"retry: {int(milliseconds)}", ""])


def _split(text: str) -> list[str]:
    return _BREAK.split(text.replace("\x00", "\ufffd"))


def _field(label: str, value: str) -> str:
    if _UNSAFE.search(value):
        raise ValueError(f"An SSE {label} cannot hold a line break or NUL: {value!r}")
    return value


def _encode(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "replace")
