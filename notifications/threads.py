"""Blocking work of the streams (database, permission checks, figures), away from the event loop.

A small pool of its own, so that many reconnecting clients wait in line here and not in front of Django's views.
Django's connections are handled as around a request: nothing stays open behind a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from channels.db import DatabaseSyncToAsync

__all__ = ["in_thread"]

P = ParamSpec("P")
R = TypeVar("R")

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="opsched-streams")


async def in_thread(fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `fn` in the pool."""
    call = DatabaseSyncToAsync(fn, thread_sensitive=False, executor=_pool)
    result: R = await call(*args, **kwargs)
    return result
