"""Handlers declared `atomic=True`: their writes and the job's completion are one transaction, behind the fence.

Runs on the handler's thread, on Django's default connection. Either all of it is committed (the handler's writes, the
completion with its event, released children and workflow counts) or nothing is. Whatever else the handler answers or
raises rolls its writes back and is recorded the usual way. A handler that ends the transaction in SQL of its own
cannot be undone any more: it is found out and becomes a dead letter. A commit whose outcome is unknown is asked about
until the database has answered; nothing is assumed meanwhile, and nothing is written twice.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from dataclasses import replace
from typing import Any

from django.db import Error, connection, transaction
from psycopg.pq import TransactionStatus

from jobs import completion, conf
from jobs.context import JobContext
from jobs.core.backoff import Fixed
from jobs.database import django_cursor
from jobs.errors import JobTimeout, PermanentError
from jobs.loop import DATABASE_AWAY, first_line
from jobs.outcomes import Outcome, Settled
from jobs.registry import JobKind
from jobs.states import State
from jobs.store.ending import end_attempts
from jobs.store.statements import rows
from jobs.store.values import ClaimedJob, Recorded, Transition
from notifications.pg import Backoff, connect

__all__ = ["run"]

logger = logging.getLogger("opsched.worker")

ASK_WAITS = 2.0
"""Seconds one question waits for a transaction that still holds the job's row."""


class _NotCompleted(Exception):
    """Carries an outcome through `transaction.atomic`, so that it rolls back."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class RolledBack(RuntimeError):
    """The handler closed its connection or asked for a rollback, and answered as if its work were done."""


class TransactionEnded(PermanentError):
    """The handler ended its transaction in SQL of its own. Tried again it would do so again, so it is not."""

    def __init__(self) -> None:
        super().__init__(
            "the handler ended its transaction itself (COMMIT or ROLLBACK in SQL of its own): what it had committed "
            "stays, what it wrote after that was rolled back, and the job was not recorded as completed"
        )


def run(kind: JobKind, context: JobContext, job: ClaimedJob) -> Outcome:
    """Run an atomic handler. `Settled` where the database has the end already; any other outcome is still to record."""
    attempt = _Attempt(job)
    try:
        with transaction.atomic(durable=True):
            transaction.on_commit(attempt.note_commit)  # before any hook of the handler
            attempt.begin()
            try:
                outcome = _answer(kind, context)
            finally:
                attempt.check_whole()
            attempt.complete(outcome)
    except _NotCompleted as stopped:
        return stopped.outcome
    except BaseException as error:
        if not attempt.committing:
            raise
        return attempt.after_doubt(context, error)
    return attempt.settled()


def _answer(kind: JobKind, context: JobContext) -> Outcome:
    outcome = completion.outcome_of(kind.fn(context, context.payload))
    if context.timed_out:
        raise JobTimeout(context.too_late)
    return outcome


class _Attempt:
    """One attempt on its way to being recorded. `committing`: everything is written, only the commit is missing."""

    def __init__(self, job: ClaimedJob) -> None:
        self._job = job
        self._transition = Transition(job=job, target=State.COMPLETED)
        self._recorded = Recorded()
        self._mark = f"{job.id}.{job.attempt}.{job.worker_id}"
        self.committing = self._committed = False

    def begin(self) -> None:
        """Open the transaction and mark it. The mark goes with it, however it ends."""
        with django_cursor() as cursor:
            cursor.execute("SELECT set_config('opsched.attempt', %s, true)", [self._mark])

    def check_whole(self) -> None:
        """Raises TransactionEnded where the handler ended the transaction, whatever it answered or raised.

        One that failed, or whose connection is gone, cannot be asked; nor can anything be completed in it.
        """
        own = connection.connection
        if own is None or own.closed or own.info.transaction_status is TransactionStatus.INERROR:
            return
        with contextlib.suppress(Error):
            with django_cursor() as cursor:
                cursor.execute("SELECT current_setting('opsched.attempt', true)")
                if cursor.fetchone()[0] == self._mark:
                    return
            raise TransactionEnded

    def complete(self, outcome: Outcome) -> None:
        """Write the completion into the open transaction. Raises where the handler's writes must not stay."""
        self._transition = completion.decide(
            self._job,
            outcome,
            backoff=lambda: Fixed(
                seconds=0
            ),  # only a failure asks for it, and that is decided anew where it is written
            max_result=conf.get().MAX_RESULT_BYTES,
            rng=random.Random(),  # noqa: S311 - likewise
        )
        if self._transition.target is not State.COMPLETED:
            raise _NotCompleted(outcome)
        if transaction.get_rollback():
            raise RolledBack("the handler rolled its transaction back, or closed its connection")
        with django_cursor() as cursor:
            # From here on the job's row is locked and nothing pauses. A process that is frozen now must not keep the
            # row from those who would rescue the job, so the server ends its transaction after a lease.
            cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{conf.get().LEASE_SECONDS}s"],
            )
            self._recorded = end_attempts(cursor, self._job.worker_id, [self._transition])
        if self._recorded.lost:
            raise _NotCompleted(self.settled())
        self.committing = True

    def note_commit(self) -> None:
        self._committed = True

    def settled(self) -> Settled:
        return Settled(replace(self._transition, settled=self._recorded))

    def after_doubt(self, context: JobContext, error: BaseException) -> Outcome:
        """The commit, or something after it, failed: only the database knows whether it happened."""
        if not self._committed and not _stands(self._job):
            return completion.failure(error)
        # What `transaction.on_commit` was given comes after the commit: it cannot undo the job any more.
        what = "failed" if self._committed else "did not run: the answer to the commit was lost"
        logger.error(
            "job %d is completed, but its hooks after the commit: %s", self._job.id, what, exc_info=error
        )
        context.log(f"completed, but a hook after the commit {what} ({type(error).__name__})", level="error")
        return self.settled()


def _stands(job: ClaimedJob) -> bool:
    """Ask until the database answers: was this attempt completed?

    The row is locked for the question, because a server that has the commit and not yet done it must be waited for.
    """
    backoff = Backoff()
    while True:
        try:
            return _ask(job)
        except DATABASE_AWAY as error:  # or the row is still locked: a lock timeout is one of these
            logger.warning("job %d: did its commit happen? (%s); asking again", job.id, first_line(error))
            time.sleep(backoff.next())


def _ask(job: ClaimedJob) -> bool:
    with (
        connect(name="opsched commit?") as connection,
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{ASK_WAITS}s"])
        params: dict[str, Any] = {"job": job.id, "attempt": job.attempt, "worker": job.worker_id}
        return bool(rows(cursor, "attempt_completed", params))
