"""The bus of a process: one tailer, a hub per event loop, and the coalesced sources.

A source is a figure rather than an event: computed once per interval and process while somebody listens, pushed without
a position, never replayed. Whoever is behind gets the next one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from notifications.hub import Hub
from notifications.tailer import Tailer

__all__ = ["Source", "close", "hub", "register_source", "sources", "unregister_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A figure that is computed again and again."""

    topic: str
    interval: float
    """Seconds between two computations."""
    compute: Callable[[], Any]
    """Returns JSON; runs in a thread and may use Django's connection."""


_process = {"tailer": Tailer()}
"""One tailer per process; a fork gets its own."""
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()
_sources: dict[str, Source] = {}


def register_source(topic: str, interval: float, fn: Callable[[], Any]) -> None:
    """Push `fn()` to the listeners of `topic` every `interval` seconds, as an event whose kind is the topic."""
    _sources[topic] = Source(topic=topic, interval=interval, compute=fn)


def unregister_source(topic: str) -> None:
    """Stop pushing. Idempotent."""
    _sources.pop(topic, None)


def sources() -> dict[str, Source]:
    """What is registered, by topic."""
    return _sources


def hub() -> Hub:
    """The hub of the running event loop."""
    from notifications import upkeep  # it needs the sources from here

    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub(_process["tailer"], upkeep.run)
    return found


def close() -> None:
    """Stop the tailer and give its connections back. Idempotent; the next subscription starts it again."""
    _process["tailer"].stop()


def _forked() -> None:
    """A child starts with its own tailer and no hubs."""
    _process["tailer"] = Tailer()
    _hubs.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forked)
