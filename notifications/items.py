"""The text of a log row's `items`: events, and series of like events that differ only in what they are about.

A worker tells of hundreds of jobs at once, with the same kind, topics and payload for each. Written out they cost the
writer, the database and the log many times the change they tell of; a series holds what is alike once. Readers see no
difference: a series counts as as many events as it has ids. Knows nothing of jobs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["Item", "expand", "searched", "series_head", "series_text", "series_topics"]

Item = tuple[int, str, tuple[str, ...], dict[str, Any]]
"""Index within the row, kind, topics, payload."""

_NAMED = 10
"""A series of no more ids than this names each of them in the row's topics, so that others need not be opened."""


def series_head(kind: str, topics: Sequence[str], payload: Mapping[str, Any], subject: str) -> str:
    """What the events of a series have in common; `series_text` adds the ids.

    Each event has the topic `subject:<id>` besides `topics`, and `{subject: id}` besides `payload`.
    """
    common = json.dumps([kind, list(topics), dict(payload), subject], separators=(",", ":"), allow_nan=False)
    return f"{common[:-1]},"


def series_text(head: str, ids: list[int]) -> str:
    """A series as one element of `items`."""
    return f"{head}{ids}]"


def series_topics(subject: str, ids: Sequence[int]) -> list[str]:
    """How the topics of a row name what a series is about: one by one, or as `subject:*`."""
    return [f"{subject}:{one}" for one in ids] if len(ids) <= _NAMED else [f"{subject}:*"]


def searched(topics: Iterable[str]) -> list[str]:
    """The topics of rows that may hold events of these topics."""
    found = set(topics)
    found |= {f"{topic.partition(':')[0]}:*" for topic in found if ":" in topic}
    return sorted(found)


def expand(items: Iterable[Sequence[Any]], wanted: frozenset[str] | None = None) -> Iterator[Item]:
    """The events of a row, of its parsed `items`, in order; with `wanted` only those that have one of these topics."""
    first = 0
    for kind, topics, payload, *series in items:
        shared = wanted is None or not wanted.isdisjoint(topics)
        if not series:
            if shared:
                yield first, kind, tuple(topics), payload
            first += 1
            continue
        subject, ids = series
        for index, one in enumerate(ids, start=first):
            own = f"{subject}:{one}"
            if shared or own in wanted:  # type: ignore[operator]  # not shared, so there is a set
                yield index, kind, (own, *topics), {subject: one, **payload}
        first += len(ids)
