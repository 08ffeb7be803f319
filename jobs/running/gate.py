"""The last question before a handler begins, for the few jobs that need it: may it begin, and how long may it take?

Jobs with a start deadline, a deadline or a lost worker in their past are asked about in the database, whose clock
judges; all others pass without a look. A job that has lost a worker before is under suspicion: its attempt is marked as
begun first, and such jobs begin one after the other, so that the one that ends its worker can be told from the others.
"""

from __future__ import annotations

import threading
import time

import psycopg
from django.db import Error

from jobs.database import django_cursor
from jobs.outcomes import Expire, GiveBack, Outcome, Settled
from jobs.running.cleaning import clean_connections
from jobs.states import State
from jobs.store.timing import EXPIRED, LATE, begin_attempt
from jobs.store.values import ClaimedJob, Recorded, Transition

__all__ = ["Gate", "is_asked_about"]

_LOSSES = '"losses"'
_WORDS = ('"expires_at"', '"deadline"', _LOSSES)
# One that has run for so long has shown that it does not end its worker at once; the next need not wait for its end.
HEAD_START = 0.5


def is_asked_about(job: ClaimedJob) -> bool:
    return job.options is not None and any(word in job.options for word in _WORDS)


class Gate:
    """One for a worker. `enter` may wait and asks the database; each `enter` is followed by `leave`."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._inside: ClaimedJob | None = None

    def enter(self, job: ClaimedJob) -> Outcome | None:
        """None where the handler may begin; else how the attempt ends without it. Called in the handler's thread."""
        if not is_asked_about(job):
            return None
        if _LOSSES in (job.options or "") and self._alone.acquire(timeout=HEAD_START):
            self._inside = job
        try:
            with django_cursor() as cursor:
                found = begin_attempt(cursor, job)
        except (psycopg.Error, Error):
            clean_connections()
            return GiveBack("the database could not be asked whether it may begin")
        if found is None:
            return _gone(job)
        if found.expired:
            return Expire(EXPIRED)
        if found.seconds_left is not None:
            if found.seconds_left <= 0:
                return Expire(LATE)
            job.stop_at = time.monotonic() + found.seconds_left
        return None

    def leave(self, job: ClaimedJob) -> None:
        if self._inside is job:
            self._inside = None
            self._alone.release()


def _gone(job: ClaimedJob) -> Settled:
    """It belongs to another worker by now. The database has said so, and no late write has to be refused for it."""
    known = Recorded(recorded=[job.id])
    return Settled(
        Transition(job=job, target=State.AVAILABLE, reason="taken by another worker", settled=known)
    )
