"""Text of jobs for a terminal: what a handler wrote must not move the cursor, change colours or set titles there."""

from __future__ import annotations

__all__ = ["plain"]

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(128, 160), 65533)


def plain(text: str) -> str:
    """The same text with control characters as their pictures; line breaks and tabs stay."""
    return text.translate(_PICTURES)
