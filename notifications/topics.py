"""Which topics exist and who may read them. Apps register a prefix with a function; everything else is refused.

A prefix ending in ":" covers `prefix<anything>`; one without covers exactly that word and `word:<anything>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from notifications.conf import event_settings
from notifications.errors import BadTopics, Forbidden

__all__ = ["Authorise", "authorise", "is_well_formed", "parse", "register", "unregister"]

Authorise = Callable[[Any, str], bool]
"""(user, topic) -> may this user read this topic? May query the database; never called in the event loop."""

_SHAPE = re.compile(r"[^\s,\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_authorisers: dict[str, Authorise] = {}


def register(prefix: str, authorise: Authorise) -> None:
    """Make topics under `prefix` readable for whom `authorise(user, topic)` says so. The last registration wins."""
    if not is_well_formed(prefix):
        raise ValueError(f"{prefix!r} cannot begin a topic.")
    _authorisers[prefix] = authorise


def unregister(prefix: str) -> None:
    """Forget a prefix; its topics are refused again."""
    _authorisers.pop(prefix, None)


def is_well_formed(topic: str) -> bool:
    """1 to 200 characters without white space, commas (they separate topics in a URL) and control characters."""
    return _SHAPE.fullmatch(topic) is not None


def parse(values: Iterable[str]) -> frozenset[str]:
    """Topics from repeated, comma-separated parameters. Raises BadTopics."""
    found = frozenset(part.strip() for value in values for part in value.split(",") if part.strip())
    most = event_settings().MAX_TOPICS
    if not found:
        raise BadTopics("Name at least one topic, e.g. ?topics=ops.")
    if len(found) > most:
        raise BadTopics(f"{len(found)} topics are too many; a connection may have {most}.")
    for topic in found:
        if not is_well_formed(topic):
            raise BadTopics(f"{topic!r} is not a topic.")
    return found


def authorise(user: Any, topics: Iterable[str]) -> None:
    """Raise Forbidden for the first topic, in alphabetical order, that is unknown or not for this user."""
    for topic in sorted(topics):
        ask = _find(topic)
        if ask is None or not ask(user, topic):
            raise Forbidden(topic)


def _find(topic: str) -> Authorise | None:
    head, colon, rest = topic.partition(":")
    if not colon:
        return _authorisers.get(topic)
    if not rest:
        return None
    return _authorisers.get(head + ":") or _authorisers.get(head)
