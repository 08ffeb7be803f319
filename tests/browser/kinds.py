"""Kinds that the browser tests watch. Imported by the processes under test, never by the tests' own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jobs
from jobs.context import JobContext
from tests.browser.kinds_text import HOSTILE


@jobs.job("report.render", queue="reports", timeout=120)
def render(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Gets to 40 % (or the payload's `until`) and goes on when the payload's `gate` exists."""
    ctx.progress(payload.get("until", 0.4), "waiting for the gate")
    while not Path(payload["gate"]).exists():
        ctx.raise_if_cancelled()
        time.sleep(0.02)


@jobs.job("orders.import", queue="imports", max_attempts=1)
def fail(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Fails, with a message made to break pages."""
    raise ValueError(payload.get("message", HOSTILE))


@jobs.job("mail.send", queue="mail")
def send(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Takes a few milliseconds."""
    time.sleep(0.02)


@jobs.job("report.chatty", queue="reports", timeout=120)
def chat(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Says something more whenever the next line of its script is there; `flood 1200` says that many lines."""
    said = 0
    while True:
        ctx.raise_if_cancelled()
        script = Path(payload["script"]).read_text(encoding="utf-8").splitlines()
        for line in script[said:]:
            word, _, rest = line.partition(" ")
            match word:
                case "log":
                    ctx.log(rest, level="warning" if "warn" in rest else "info")
                case "progress":
                    ctx.progress(float(rest), f"at {rest}")
                case "flood":
                    for number in range(int(rest)):
                        ctx.log(f"flood {number}")
                case "once":
                    ctx.once(rest, lambda: {"receipt": "R-1001"})
                case "end":
                    return
        said = len(script)
        time.sleep(0.02)
