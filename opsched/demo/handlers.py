"""The kinds of the demo: small, quick, and one of each fate. Known only to processes that the demo starts."""

from __future__ import annotations

import random
import time
from typing import Any

import jobs
from jobs.context import JobContext
from jobs.core.backoff import Exponential

__all__ = ["nightly_pipeline"]

_STEP_SECONDS = 0.4


@jobs.job("demo.step", queue="pipeline", timeout=60)
def step(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """A step of the nightly pipeline: takes a moment and says how far it is."""
    rows = random.randint(900, 1100)  # noqa: S311  (a figure to look at)
    parts = 5
    for part in range(1, parts + 1):
        ctx.raise_if_cancelled()
        time.sleep(_STEP_SECONDS / parts)
        ctx.progress(part / parts, f"{rows * part // parts} rows")
    ctx.log(f"{payload.get('what', 'step')}: {rows} rows")
    return {"rows": rows}


@jobs.job(
    "demo.flaky_step", queue="pipeline", max_attempts=5, backoff=Exponential(base=2.0, cap=10.0), timeout=60
)
def flaky_step(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Fails on the first two attempts, as a service does that is just being restarted."""
    ctx.log(f"asking the warehouse, attempt {ctx.attempt}")
    time.sleep(_STEP_SECONDS)
    if ctx.attempt <= 2:
        raise ConnectionError("the warehouse did not answer")
    return {"rows": 1000}


@jobs.job("demo.report", queue="pipeline")
def report(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Adds up what its parents found."""
    found = {key: result["rows"] for key, result in ctx.parents().items() if isinstance(result, dict)}
    return {"rows": sum(found.values()), "from": sorted(found)}


@jobs.job("demo.nightly", queue="pipeline")
def nightly(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Submits the whole pipeline as one workflow; this is what the nightly schedule runs."""
    return {"workflow": nightly_pipeline()}


@jobs.job("demo.broken_import", queue="imports", max_attempts=3, backoff=Exponential(base=1.0, cap=2.0))
def broken_import(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Always fails, so it ends as a dead letter."""
    line = int(payload.get("line", 1))
    raise ValueError(f"line {line}: 'n/a' is not a number")


@jobs.job("demo.heartbeat", queue="default")
def heartbeat(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """What the schedule of every minute runs."""
    ctx.log("still here")
    return {"at": int(time.time())}


@jobs.job("demo.small", queue="mail", max_attempts=3, backoff=Exponential(base=0.5, cap=2.0))
def small(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """One of the burst: a few milliseconds; one in fifty fails once."""
    number = int(payload.get("number", 0))
    time.sleep(random.uniform(0.005, 0.06))  # noqa: S311
    if number % 50 == 49 and ctx.attempt == 1:
        raise TimeoutError("the mail server was busy")
    return {"sent": number}


def nightly_pipeline() -> int:
    """Submit the pipeline: extract → three kinds of cleaning, one of them flaky → load → report. Its workflow id."""
    workflow, _ = jobs.submit_workflow(
        "nightly pipeline",
        [
            jobs.JobSpec(kind="demo.step", key="extract", payload={"what": "extract"}),
            jobs.JobSpec(
                kind="demo.step", key="clean-orders", payload={"what": "orders"}, parents=["extract"]
            ),
            jobs.JobSpec(
                kind="demo.step", key="clean-customers", payload={"what": "customers"}, parents=["extract"]
            ),
            jobs.JobSpec(kind="demo.flaky_step", key="exchange-rates", parents=["extract"]),
            jobs.JobSpec(
                kind="demo.step",
                key="load",
                payload={"what": "load"},
                parents=["clean-orders", "clean-customers", "exchange-rates"],
            ),
            jobs.JobSpec(
                kind="demo.report",
                key="report",
                parents=["clean-orders", "clean-customers", "exchange-rates", "load"],
            ),
        ],
    )
    return workflow
