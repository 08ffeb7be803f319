"""The bus of a process: one tailer and ticker, a hub per event loop, and the coalesced sources.

A source is a figure rather than an event: computed once per interval and process while somebody listens, pushed without
a position, never replayed. Whoever is behind gets the next one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from notifications.hub import Hub
from notifications.tailer import Tailer
from notifications.ticker import Ticker

__all__ = ["Source", "close", "hub", "register_source", "sources", "unregister_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A figure that is computed again and again."""

    topic: str
    interval: float
    """Seconds between two computations."""
    compute: Callable[[], Any]
    """Returns JSON; runs in a thread and may use Django's connection."""


@dataclass(slots=True)
class _Process:
    """One of each per process; a fork gets its own."""

    tailer: Tailer = field(default_factory=Tailer)
    ticker: Ticker = field(default_factory=Ticker)


_process = [_Process()]
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
        found = _hubs[loop] = Hub(_process[0].tailer, upkeep.run)
        # Streams must not depend on a worker being there: whoever serves them can also make the ticks.
        _process[0].ticker.start()
    return found


def close() -> None:
    """Stop tailer and ticker and give their connections back. Idempotent."""
    _process[0].tailer.stop()
    _process[0].ticker.stop()
    _hubs.clear()


def _forked() -> None:
    """A child starts afresh."""
    _process[0] = _Process()
    _hubs.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forked)
