"""A kind that ends its worker, each time."""

from __future__ import annotations

import os
import signal
from typing import Any

from jobs import job
from jobs.context import JobContext


@job("test.poison")
def poison(ctx: JobContext, payload: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
