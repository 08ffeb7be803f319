"""A kind that cannot be stopped: it waits in a thread which the interpreter joins before it ends."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jobs import job
from jobs.context import JobContext


@job("test.stubborn")
async def stubborn(ctx: JobContext, payload: dict[str, Any]) -> None:
    await asyncio.to_thread(time.sleep, 600)
