"""Writing to the event log, inside the transaction of the change that the events tell about.

A rolled-back change takes its events with it. Nothing here rings a bell: that is done after commit, by the caller,
because NOTIFY inside a business transaction makes every commit of the instance wait in one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notifications.arrays import texts
from notifications.epoch import LogState, state
from notifications.errors import NotificationsError
from notifications.position import Position
from notifications.reading import LogEvent, Page, read_after
from notifications.statements import SqlWriter, statement
from notifications.topics import is_well_formed

__all__ = [
    "MAX_ITEMS",
    "EventDraft",
    "LogEvent",
    "LogState",
    "Page",
    "Position",
    "append",
    "append_encoded",
    "read_after",
    "state",
]

MAX_ITEMS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """An event that has not happened until the transaction commits."""

    kind: str
    """What happened, e.g. `job.completed`."""
    topics: tuple[str, ...]
    """Who hears of it."""
    payload: Mapping[str, Any]
    """JSON."""

    def __post_init__(self) -> None:
        if not self.kind or not self.kind.isprintable():
            raise NotificationsError(f"An event's kind must be a printable word, not {self.kind!r}.")
        if not self.topics:
            raise NotificationsError(f"The event {self.kind} has no topic: nobody could ever see it.")
        for topic in self.topics:
            if not is_well_formed(topic):
                raise NotificationsError(f"{topic!r} is not a topic.")


def append(cursor: SqlWriter, drafts: Sequence[EventDraft]) -> None:
    """Insert the events in order, in the cursor's transaction. No drafts, no statement."""
    for batch in _batches(drafts):
        topics = list(dict.fromkeys(topic for draft in batch for topic in draft.topics))
        items = json.dumps(
            [[draft.kind, draft.topics, draft.payload] for draft in batch],
            separators=(",", ":"),
            allow_nan=False,
            default=dict,
        )
        append_encoded(cursor, topics=topics, items=items)


def append_encoded(cursor: SqlWriter, *, topics: list[str], items: str) -> None:
    """Insert one row whose `items` is JSON text already: [[kind, [topics], payload], …], at most 500 events.

    `topics` is the distinct union. An element may be a series of like events (`notifications.items`). The hot path
    of the workers: nothing is checked here.
    """
    cursor.execute(statement("append_event"), {"topics": texts(topics), "items": items})


def _batches(drafts: Sequence[EventDraft]) -> Iterator[Sequence[EventDraft]]:
    for start in range(0, len(drafts), MAX_ITEMS):
        yield drafts[start : start + MAX_ITEMS]
