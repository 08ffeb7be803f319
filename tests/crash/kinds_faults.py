"""A kind that is honest and hard to live with: it holds the interpreter for as long as it runs, and never looks up."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from jobs import job
from jobs.context import JobContext


@job("test.burn", max_attempts=100)
def burn(ctx: JobContext, payload: dict[str, Any]) -> None:
    _note(payload, ctx, "start")
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        sum(range(10_000))  # one step of the interpreter that takes a while: other threads wait for its end
    _note(payload, ctx, "end")


def _note(payload: dict[str, Any], ctx: JobContext, event: str) -> None:
    line = {
        "task": payload["task"],
        "event": event,
        "at": time.time(),
        "attempt": ctx.attempt,
        "pid": os.getpid(),
    }
    handle = os.open(payload["history"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, json.dumps(line).encode() + b"\n")
    finally:
        os.close(handle)
