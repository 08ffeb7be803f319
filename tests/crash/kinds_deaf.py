"""A kind that does not stop at its timeout."""

from __future__ import annotations

import time
from typing import Any

from jobs import job
from jobs.context import JobContext
from jobs.core.backoff import Fixed


@job("test.deaf", timeout=0.2, backoff=Fixed(seconds=600))
def deaf(ctx: JobContext, payload: dict[str, Any]) -> None:
    time.sleep(600)
