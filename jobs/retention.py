"""Deletes what ended longer ago than `RETENTION_SECONDS` (jobs, workflows, workers), and keys and events past theirs.

Small transactions. What an operator still has to decide about (dead letters) is never deleted. One worker at a time
does it, behind a try-lock; each round is bounded, so that a long pause is caught up with over several rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from django.db import connections

from jobs import conf
from jobs.database import in_transaction
from jobs.loop import Loop
from jobs.store import effects
from jobs.store.idempotency import delete_expired
from jobs.store.statements import Cursor, execute, rows
from jobs.store.uniqueness import delete_free_keys, settle_keys
from notifications.retention import prune_expired

__all__ = ["Janitor", "delete_old_jobs", "delete_old_workflows"]

LOCK = 0x6F70_7363_0001  # any number nobody else uses for an advisory lock: "opsc" and a counter
STRETCH = 1_000
STRETCHES = 50
WORKFLOWS = 5


class Janitor(Loop):
    """Once a minute."""

    def __init__(self, *, on_death: Callable[[str, BaseException], None]) -> None:
        super().__init__(name="janitor", interval=60.0, on_death=on_death)
        self._keep = conf.get().RETENTION_SECONDS
        self._keep_effects = conf.get().EFFECT_RETENTION_SECONDS
        self._after = 0  # where the last round stopped: what has to stay must not hold up what lies behind it

    def tick(self) -> int:
        connection = self.connection
        with connection.cursor() as cursor:
            if not cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:  # type: ignore[index]
                return 0
            try:
                return self._clean(connection)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

    def _clean(self, connection: psycopg.Connection[Any]) -> int:
        deleted = 0
        for _ in range(STRETCHES):
            number = in_transaction(connection, partial(delete_old_workflows, keep=self._keep))
            deleted += number
            if not number:
                break
        for _ in range(STRETCHES):
            stretch = partial(delete_old_jobs, keep=self._keep, after=self._after)
            number, after = in_transaction(connection, stretch)
            deleted += number
            self._after = after or 0
            if after is None:
                break
        old_effects = partial(effects.forget_old, keep=self._keep_effects)
        for delete in (delete_free_keys, delete_expired, old_effects):
            for _ in range(STRETCHES):
                if in_transaction(connection, partial(delete, limit=STRETCH)) < STRETCH:
                    break
        with connection.cursor() as cursor:
            execute(cursor, "delete_old_workers", {"keep": self._keep})
            execute(cursor, "delete_old_slots", {"keep": self._keep})
        try:
            prune_expired()
        finally:
            connections.close_all()
        return deleted


def delete_old_jobs(cursor: Cursor, *, keep: float, after: int) -> tuple[int, int | None]:
    """One stretch of jobs outside workflows, from id `after` on: the number deleted, and where to go on, if at all."""
    stretch = rows(cursor, "old_jobs", {"keep": keep, "after": after, "limit": STRETCH})
    ids = [row[0] for row in stretch if row[2]]
    if ids:
        settle_keys(cursor, ids)
    deleted = execute(cursor, "delete_jobs", {"ids": ids}) if ids else 0
    done = len(stretch) < STRETCH or stretch[-1][3]
    return deleted, None if done else stretch[-1][0]


def delete_old_workflows(cursor: Cursor, *, keep: float) -> int:
    """A few workflows with all their jobs; the number of jobs."""
    deleted = 0
    for (workflow,) in rows(cursor, "old_workflows", {"keep": keep, "limit": WORKFLOWS}):
        ids = [row[0] for row in rows(cursor, "workflow_jobs", {"workflow": workflow})]
        deleted += execute(cursor, "delete_jobs", {"ids": ids}) if ids else 0
        execute(cursor, "delete_workflow", {"workflow": workflow})
    return deleted
