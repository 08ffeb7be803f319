"""A kind whose process can only be killed: it blocks every signal and keeps the interpreter in C."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from jobs import job
from jobs.context import JobContext


@job("test.unstoppable", isolation="process")
def unstoppable(ctx: JobContext, payload: dict[str, Any]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    ctx.log(str(os.getpid()))
    re.match(r"(a+)+b", "a" * 60)
