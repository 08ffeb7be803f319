"""The ASGI application that the live tests run under a real Daphne: the product's own, with topics to listen to."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.notifications.served_settings"

from opsched import asgi  # noqa: I001  # sets Django up, so it comes first
from notifications import bus, topics

topics.register("test:", lambda user, topic: True)
topics.register("secret:", lambda user, topic: user.has_perm("auth.view_group"))
bus.register_source("test:figures", 0.3, lambda: {"answer": 42})


def _resident() -> int:
    """What the process needs: garbage and what the allocator keeps for later are given back first, where it can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another libc has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:  # noqa: PTH123  # nothing to gain from a Path here
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """/registry tells what only the process itself can know; the rest is the product."""
    if scope["path"] != "/registry":
        await asgi.application(scope, receive, send)
        return
    registry = bus.hub().registry
    facts = {"connections": len(registry), "topics": sorted(registry.topics), "resident": _resident()}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})
