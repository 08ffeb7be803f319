"""What a client may say over the WebSocket, and how much of it. Pure: text in, a command or BadCommand out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import monotonic
from typing import Any

from notifications.conf import event_settings
from notifications.errors import NotificationsError

__all__ = ["Allowance", "BadCommand", "Command", "Ping", "Subscribe", "Unsubscribe", "parse"]


class BadCommand(NotificationsError):
    """A frame that is no command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Replace the topics; continue behind `after`, or from now."""

    topics: tuple[str, ...]
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Drop some topics; None: all."""

    topics: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a pong, which also tells the position."""


Command = Subscribe | Unsubscribe | Ping


class Allowance:
    """So many frames a second, with room for a burst of five seconds' worth."""

    def __init__(self, per_second: float) -> None:
        self._rate, self._most = per_second, per_second * 5
        self._left, self._at = self._most, monotonic()

    def take(self) -> bool:
        """May one more come?"""
        now = monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def parse(text: str | None) -> Command:
    """The command of a text frame. Raises BadCommand, whatever the text."""
    if text is None:
        raise BadCommand("Frames are JSON text, not binary.")
    if len(text) > event_settings().FRAME_BYTES:
        raise BadCommand(f"A frame has at most {event_settings().FRAME_BYTES} characters.")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise BadCommand("This is no JSON.") from problem
    if not isinstance(said, dict):
        raise BadCommand('A frame is an object with a "type".')
    match said.get("type"):
        case "subscribe":
            return Subscribe(topics=_topics(said), after=_after(said))
        case "unsubscribe":
            return Unsubscribe(topics=_topics(said) if "topics" in said else None)
        case "ping":
            return Ping()
    raise BadCommand('"type" must be "subscribe", "unsubscribe" or "ping".')


def _topics(said: dict[str, Any]) -> tuple[str, ...]:
    found = said.get("topics")
    if not isinstance(found, list) or not all(isinstance(topic, str) for topic in found):
        raise BadCommand('"topics" must be a list of strings.')
    return tuple(found)


def _after(said: dict[str, Any]) -> str | None:
    found = said.get("after")
    if found is not None and not isinstance(found, str):
        raise BadCommand('"after" must be a position that an event came with.')
    return found
