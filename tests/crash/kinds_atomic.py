"""Kinds that write into `test_effect` and kill their own worker process at a given step of the first attempt."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from jobs import job
from jobs.context import JobContext
from jobs.core.backoff import Fixed


def die_at(step: str, ctx: JobContext, payload: dict[str, Any]) -> None:
    if payload.get("die") == step and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def write(ctx: JobContext, payload: dict[str, Any]) -> None:
    die_at("before the write", ctx, payload)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO test_effect (job, attempt, wait_on) VALUES (%s, %s, %s)",
            [ctx.job_id, ctx.attempt, payload.get("wait_on") if ctx.attempt == 1 else None],
        )
    die_at("after the write", ctx, payload)
    transaction.on_commit(lambda: die_at("after the commit", ctx, payload))


@job("test.effect", queue="effects", atomic=True, max_attempts=20, backoff=Fixed(seconds=0.1))
def effect(ctx: JobContext, payload: dict[str, Any]) -> str:
    write(ctx, payload)
    return "written"


@job("test.careless", queue="effects", max_attempts=20, backoff=Fixed(seconds=0.1))
def careless(ctx: JobContext, payload: dict[str, Any]) -> str:
    """The negative control: its writes are a transaction of their own, and the completion comes after."""
    with transaction.atomic():
        write(ctx, payload)
    return "written"


@job("test.once", queue="effects", max_attempts=20, backoff=Fixed(seconds=0.1))
def outside(ctx: JobContext, payload: dict[str, Any]) -> Any:
    """Its effect is a line in a file, which no transaction takes back."""

    def effect() -> int:
        with Path(payload["file"]).open("a", encoding="utf-8") as file:
            file.write(f"{ctx.attempt}\n")
        die_at("before the record", ctx, payload)
        return ctx.attempt

    answer = ctx.once(f"line:{payload['file']}", effect)
    die_at("after the record", ctx, payload)
    return answer
