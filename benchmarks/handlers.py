"""The kinds the benchmarks run: one that does nothing, one that says when it started."""

from __future__ import annotations

import time
from typing import Any

import jobs
from jobs.context import JobContext

__all__ = ["noop", "stamp"]


@jobs.job("bench.noop", queue="bench")
def noop(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Nothing."""


@jobs.job("bench.stamp", queue="bench")
def stamp(ctx: JobContext, payload: dict[str, Any]) -> float:
    """The wall clock at the start, to hold against the submitter's on the same machine."""
    return time.time()
