"""What commands print: text that leaves a terminal as it is, whatever a handler wrote, and JSON as REST has it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

__all__ = ["json_text", "plain"]

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(128, 160), 65533)


def plain(text: str) -> str:
    """The same text with control characters as their pictures; line breaks and tabs stay."""
    return text.translate(_PICTURES)


def json_text(value: Any) -> str:
    """JSON in one line, times in ISO 8601."""
    return json.dumps(value, default=_readable, ensure_ascii=False)


def _readable(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
