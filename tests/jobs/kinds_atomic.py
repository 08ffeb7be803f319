"""Atomic kinds that run in the tests' own process; each writes a row into `test_effect` first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from jobs import Cancel, Discard, Retry, Snooze, job
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.errors import PermanentError
from tests.jobs import kinds

__all__ = ["CONNECTIONS", "HOOKS"]

HOOKS: list[str] = []
"""What ran after commits."""
CONNECTIONS: list[Any] = []
"""The driver's connections that handlers wrote on."""


def leave_effect(ctx: JobContext, wait_on: int | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO test_effect (job, attempt, wait_on) VALUES (%s, %s, %s)",
            [ctx.job_id, ctx.attempt, wait_on],
        )
    CONNECTIONS.append(connection.connection)


@job("atomic.write", queue="test", atomic=True, backoff=Fixed(seconds=0.05))
def write(ctx: JobContext, payload: dict[str, Any]) -> Any:
    leave_effect(ctx, payload.get("wait_on") if ctx.attempt == 1 else None)
    return payload.get("result")


def fail_in_a_statement(sqlstate: str) -> None:
    """A statement fails, and the handler goes on as if nothing was."""
    with connection.cursor() as cursor, contextlib.suppress(Exception):
        cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")


def fail() -> None:
    raise ValueError("boom")


def say(sql: str) -> Any:
    """SQL of the handler's own, past Django."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


def commit_and_fail() -> None:
    say("COMMIT")
    raise ValueError("boom")


ENDS: dict[str, Callable[[], Any]] = {
    "commit": lambda: say("COMMIT"),
    "commit and go on": lambda: say("COMMIT") or say("SELECT 1"),
    "commit and chain": lambda: say("COMMIT AND CHAIN"),
    "commit by the driver": lambda: connection.connection.commit(),  # noqa: PLW0108 - likewise
    "commit and fail": commit_and_fail,
    "commit and retry": lambda: say("COMMIT") or Retry(after=0),
    "roll back": lambda: say("ROLLBACK"),
    "savepoint": lambda: say("SAVEPOINT own; ROLLBACK TO own; RELEASE own"),
    "raise": fail,
    "retry": lambda: Retry(after=60),
    "snooze": lambda: Snooze(60),
    "discard": lambda: Discard("pointless"),
    "cancel": lambda: Cancel("called off"),
    "permanent": lambda: PermanentError("never"),
    "unkeepable": lambda: {1, 2},
    "rolled back": lambda: transaction.set_rollback(True),
    "closed": lambda: connection.close(),  # noqa: PLW0108 - the connection of the thread that calls it
    "late": lambda: None,
    "deadlock": lambda: fail_in_a_statement("40P01"),
    "serialization": lambda: fail_in_a_statement("40001"),
}


@job("atomic.answer", queue="test", atomic=True, max_attempts=2, backoff=Fixed(seconds=60), timeout=5)
def answer(ctx: JobContext, payload: dict[str, Any]) -> Any:
    """Writes, then ends in one of the ways that must undo it."""
    leave_effect(ctx)
    if payload["how"] == "late":
        ctx.deadline = 0.0
    ended = ENDS[payload["how"]]()
    if isinstance(ended, Snooze | PermanentError):
        raise ended
    return ended


@job("atomic.gated", queue="test", atomic=True)
def gated(ctx: JobContext, payload: dict[str, Any]) -> None:
    leave_effect(ctx)
    kinds.GATE.wait(20)


@job("careless.gated", queue="test")
def careless(ctx: JobContext, payload: dict[str, Any]) -> None:
    """The negative control: a transaction of its own."""
    with transaction.atomic():
        leave_effect(ctx)
        kinds.GATE.wait(20)


@job("atomic.hooks", queue="test", atomic=True)
def hooks(ctx: JobContext, payload: dict[str, Any]) -> None:
    leave_effect(ctx)
    transaction.on_commit(lambda: HOOKS.append("outer"))
    with transaction.atomic():
        transaction.on_commit(lambda: HOOKS.append("inner"))
    if payload.get("fails"):
        transaction.on_commit(lambda: 1 / 0)
