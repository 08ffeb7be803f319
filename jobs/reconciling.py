"""After a commit whose outcome is unknown: ask the database what this worker holds, instead of assuming.

Writes nothing. Before anybody asks, the session that had the commit to do is ended. Then two questions: which of the
ends that could not be confirmed were recorded after all, and which jobs were claimed by a transaction whose answer
never came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from jobs.store.statements import Cursor, rows
from jobs.store.values import ClaimedJob, Transition

__all__ = ["PATIENCE", "Reconciled", "reconcile", "until_ended"]

PATIENCE = 2.0
"""Seconds to wait for the server to be through with a commit whose answer never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """`recorded`: ends that stand in the database. `waiting`: ends to record again. `claimed`: jobs to give back."""

    recorded: list[Transition]
    waiting: list[Transition]
    claimed: list[ClaimedJob]


def until_ended(sessions: Callable[[], int], *, patience: float = PATIENCE) -> None:
    """Wait until none is left of the `sessions` that this ends and counts: what they did is committed or undone then.

    The server may still be at it: what commits after the question was asked would be taken for undone. Raises
    psycopg.OperationalError when it is not through in time, so that the question is asked again later.
    """
    until = time.monotonic() + patience
    while sessions():
        if time.monotonic() > until:
            raise psycopg.OperationalError("the server is not through with a doubtful commit")
        time.sleep(0.005)


def reconcile(
    cursor: Cursor, *, worker_id: int, unconfirmed: Sequence[Transition], known_claims: Sequence[int]
) -> Reconciled:
    """Tell apart what happened and what did not."""
    params = {
        "ids": [t.job.id for t in unconfirmed],
        "attempts": [t.job.attempt for t in unconfirmed],
        "worker": worker_id,
    }
    settled = {(row[0], row[1]) for row in rows(cursor, "settled_attempts", params)}
    recorded = [t for t in unconfirmed if (t.job.id, t.job.attempt) in settled]
    return Reconciled(
        recorded=recorded,
        waiting=[t for t in unconfirmed if (t.job.id, t.job.attempt) not in settled],
        claimed=_unknown(cursor, worker_id, known_claims),
    )


def _unknown(cursor: Cursor, worker_id: int, known_claims: Sequence[int]) -> list[ClaimedJob]:
    found = rows(cursor, "my_claims", {"worker": worker_id, "known": list(known_claims)})
    return [
        ClaimedJob(
            claim_id=row[0],
            id=row[1],
            kind=row[2],
            queue=row[3],
            attempt=row[4],
            max_attempts=row[5],
            payload="{}",
            options=None,
            workflow_id=row[6],
            task=row[7],
            limited=True,  # not known, and releasing a place that there is not costs nothing
        )
        for row in found
    ]
