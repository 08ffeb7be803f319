"""Kinds that have effects through `ctx.once`, in the tests' own process."""

from __future__ import annotations

import asyncio
from typing import Any

from jobs import job
from jobs.context import JobContext
from jobs.core.backoff import Fixed

__all__ = ["HAPPENED", "happen"]

HAPPENED: list[tuple[int, int]] = []
"""Job and attempt of each effect."""


def happen(ctx: JobContext) -> dict[str, Any]:
    HAPPENED.append((ctx.job_id, ctx.attempt))
    return {"receipt": (ctx.attempt, "paid")}


def fail_first(ctx: JobContext) -> None:
    if ctx.attempt == 1:
        raise ValueError("after the effect")


@job("once.charge", queue="test", backoff=Fixed(seconds=0.05))
def charge(ctx: JobContext, payload: dict[str, Any]) -> Any:
    answer = ctx.once(payload["key"], lambda: happen(ctx), scope=payload.get("scope", "global"))
    fail_first(ctx)
    return answer


@job("once.atomic", queue="test", atomic=True, backoff=Fixed(seconds=0.05))
def charge_in_a_transaction(ctx: JobContext, payload: dict[str, Any]) -> Any:
    return charge(ctx, payload)


@job("once.async", queue="test", backoff=Fixed(seconds=0.05))
async def charge_async(ctx: JobContext, payload: dict[str, Any]) -> Any:
    async def effect() -> dict[str, Any]:
        await asyncio.sleep(0)
        return happen(ctx)

    answer = await ctx.aonce(payload["key"], effect)
    fail_first(ctx)
    return answer


@job("once.async_slow", queue="test", timeout=0.5, max_attempts=1)
async def charge_slowly(ctx: JobContext, payload: dict[str, Any]) -> Any:
    return await ctx.aonce(payload["key"], lambda: asyncio.sleep(60))


@job("once.unkeepable", queue="test", max_attempts=3)
def unkeepable(ctx: JobContext, payload: dict[str, Any]) -> Any:
    return ctx.once(payload["key"], lambda: {ctx.job_id})
