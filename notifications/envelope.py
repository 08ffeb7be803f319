"""An event on its way to clients: its JSON is made once, whatever the number of listeners and protocols."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from notifications import framing
from notifications.position import Position
from notifications.reading import LogEvent

__all__ = ["Envelope", "control", "ping"]


class Envelope:
    """Frames are made on first use and kept while the batch lives. Without position: never replayed."""

    def __init__(
        self, *, position: Position | None, kind: str, topics: tuple[str, ...], payload: Any, at: datetime
    ) -> None:
        self.position = position
        self.topics = topics
        self._kind = kind
        # ASCII: lone surrogates, line separators and the like arrive escaped, as JSON.
        self._body = json.dumps(
            {
                "position": None if position is None else str(position),
                "kind": kind,
                "topics": topics,
                "data": payload,
                "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            },
            separators=(",", ":"),
        )

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self._body)

    @classmethod
    def of(cls, event: LogEvent) -> Envelope:
        """The envelope of an event of the log."""
        return cls(
            position=event.position, kind=event.kind, topics=event.topics, payload=event.payload, at=event.at
        )

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event named by its kind."""
        # A kind comes from the log; one that could break the framing is sent unnamed rather than not at all.
        name = self._kind if self._kind.isprintable() else None
        return framing.event(
            data=self._body, name=name, id=None if self.position is None else str(self.position)
        )

    @cached_property
    def ws(self) -> bytes:
        """As a JSON frame of the WebSocket."""
        return b'{"type":"event",' + self._body[1:].encode()


def control(protocol: str, name: str, *, position: Position | None = None, **data: Any) -> bytes:
    """A frame about the stream itself: subscribed, reset, error, pong."""
    body = {**data} if position is None else {"position": str(position), **data}
    if protocol == "sse":
        place = None if position is None else str(position)
        return framing.event(name=name, data=json.dumps(body, separators=(",", ":")), id=place)
    return json.dumps({"type": name, **body}, separators=(",", ":")).encode()


def ping() -> bytes:
    """A sign of life."""
    return framing.comment("ping")
