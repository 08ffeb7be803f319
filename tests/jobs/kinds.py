"""Kinds the tests of the jobs app run; registered when a test imports this module."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pydantic import BaseModel, ConfigDict

from jobs import Cancel, Completed, Discard, Reject, Retry, Snooze, job
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.errors import PermanentError

__all__ = ["BEGUN", "GATE", "PARENTS"]

GATE = threading.Event()
"""`test.gated` waits for it."""
BEGUN: list[int] = []
"""The jobs of `test.noted`, in the order in which they began."""
PARENTS: dict[int, dict[str, Any]] = {}
"""What `test.parents` was given, by job id."""


class Sized(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


@job("test.echo", queue="test", backoff=Fixed(seconds=30))
def echo(ctx: JobContext, payload: dict[str, Any]) -> Any:
    """Answers its payload."""
    return payload or None


@job("test.async", queue="test", timeout=5)
async def echo_async(ctx: JobContext, payload: dict[str, Any]) -> Any:
    await asyncio.sleep(payload.get("seconds", 0))
    return payload


@job("test.answer", queue="test", max_attempts=2, backoff=Fixed(seconds=60))
def answer(ctx: JobContext, payload: dict[str, Any]) -> Any:
    """Ends the way the payload says."""
    match payload["how"]:
        case "retry":
            return Retry(after=7, reason="later")
        case "raise":
            raise Retry(after=7, reason="raised")
        case "snooze":
            return Snooze(payload.get("seconds", 9))
        case "discard":
            return Discard("pointless")
        case "cancel":
            return Cancel("called off")
        case "reject":
            return Reject(["too long", "too loud"])
        case "permanent":
            raise PermanentError("the recipient does not exist")
        case "unkeepable":
            return Completed({1, 2})
        case _:
            raise ValueError(f"boom {payload.get('number', 1)}")


@job("test.gated", queue="test", timeout=30)
def gated(ctx: JobContext, payload: dict[str, Any]) -> str:
    GATE.wait(20)
    ctx.raise_if_cancelled()
    return "through"


@job("test.obedient", queue="test")
def obedient(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Runs until somebody cancels it."""
    while not ctx.cancelled:
        GATE.wait(0.01)
    ctx.raise_if_cancelled()


@job("test.late", queue="test", timeout=0.05, max_attempts=1)
def late(ctx: JobContext, payload: dict[str, Any]) -> str:
    while not ctx.timed_out:
        GATE.wait(0.01)
    return "too late"


@job("test.noted", queue="test")
def noted(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Notes that it has begun."""
    BEGUN.append(ctx.job_id)


@job("test.parents", queue="test")
def parents(ctx: JobContext, payload: dict[str, Any]) -> None:
    PARENTS[ctx.job_id] = ctx.parents()


@job("test.talk", queue="test")
def talk(ctx: JobContext, payload: dict[str, Any]) -> None:
    for number in range(payload["lines"]):
        ctx.log(f"line {number}\x00")
    ctx.progress(0.25, "quarter")
    ctx.progress(0.75, "three quarters")


@job("test.sized", queue="test", payload_model=Sized)
def sized(ctx: JobContext, payload: dict[str, Any]) -> int:
    return Sized.model_validate(payload).size
