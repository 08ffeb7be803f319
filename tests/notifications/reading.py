"""Events for the tests of the log, and all that a reader finds there, page after page."""

from __future__ import annotations

from typing import Any

from notifications.log import EventDraft, LogEvent, Position, read_after


def draft(topic: str = "test:1", **payload: Any) -> EventDraft:
    return EventDraft(kind="test.happened", topics=(topic,), payload=payload)


def everything(topics: list[str] | None = None, limit: int = 100) -> list[LogEvent]:
    return events_from(None, topics, limit)


def events_from(
    position: Position | None, topics: list[str] | None = None, limit: int = 100
) -> list[LogEvent]:
    found: list[LogEvent] = []
    while True:
        page = read_after(position, topics, limit)
        assert not page.reset
        found += page.events
        position = page.position
        if not page.more:
            return found
