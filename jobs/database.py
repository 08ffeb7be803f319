"""The worker's own connection: settings for its statements, and one way to run a transaction.

A deadlock or a serialization failure is retried as a whole. A lost connection is not: whether the commit happened is
unknown then, and only the caller knows how to find out.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors
from psycopg.pq import TransactionStatus

from jobs import conf
from jobs.store.statements import Send
from notifications.pg import connect

__all__ = ["RETRIED", "django_cursor", "in_transaction", "limit_idle_transactions", "open_connection", "pipe"]

logger = logging.getLogger("opsched.worker")

Result = TypeVar("Result")
RETRIED = (errors.DeadlockDetected, errors.SerializationFailure)
_TRIES = 5
_ONLY_WHERE_ASKED = 2**31
_UNDER_WAY = 1_000_000
"""Characters of values that a pipe has sent at most without their answers, unless a single statement has more."""

# Planning these statements takes longer than running them, so they are planned once (psycopg prepares them, and the
# generic plan is right for every batch because all of them go by index).
#
# The statements of a worker reach their rows by primary key or by an index range. With a thousand ids the planner
# chose to hash the whole job table instead, which was five times slower; it may still do so where no index fits.
_PLANNER = """
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off;
    SET plan_cache_mode = force_generic_plan
"""


def limit_idle_transactions(connection: psycopg.Connection[Any]) -> None:
    """Have the server end a transaction that says nothing for a lease.

    A process that is frozen between two statements keeps its locks: nobody could rescue the jobs it holds. All
    transactions of a worker's own run without a pause, so only a frozen one is silent for so long.
    """
    connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
        [f"{conf.get().LEASE_SECONDS}s"],
    )


def open_connection(name: str) -> psycopg.Connection[Any]:
    """A connection for the statements of a worker."""
    connection = connect(autocommit=True, name=name)
    connection.execute(_PLANNER)
    limit_idle_transactions(connection)
    connection.prepare_threshold = 0 if conf.get().PREPARE_STATEMENTS else None
    return connection


class PreparingCursor(psycopg.Cursor[Any]):
    """Prepares every statement it runs: for the few large ones of submission, which cost more to plan than to run.

    Errors are Django's, as those of its own cursors are: callers catch these, and Django drops a broken connection.
    """

    def __init__(self, wrapper: Any) -> None:
        super().__init__(wrapper.connection)
        self._wrapper = wrapper
        self.errors = wrapper.wrap_database_errors

    def beside(self) -> PreparingCursor:
        """Another one on the same connection."""
        return PreparingCursor(self._wrapper)

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        with self.errors:
            return super().execute(query, params, prepare=True, **options)

    def fetchall(self) -> list[Any]:
        # In a pipe this is where an error arrives.
        with self.errors:
            return super().fetchall()


def django_cursor(connection: BaseDatabaseWrapper | None = None) -> Any:
    """A cursor in Django's own transaction for the statements of `jobs/store`: bound and planned by the server.

    Django's cursors put the values into the text, so that each submission would be parsed and planned anew.
    """
    connection = connection or connections["default"]
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    if not conf.get().PREPARE_STATEMENTS:
        return connection.cursor()
    if connection.connection.prepare_threshold is None:
        # Django's default, which forbids it also where a cursor asks. By this one only who asks is served.
        connection.connection.prepare_threshold = _ONLY_WHERE_ASKED
    return PreparingCursor(connection)


@contextlib.contextmanager
def pipe(cursor: Any, *, alone: bool = False) -> Iterator[Send]:
    """Statements that return rows, in one go: the next one is sent while the server runs those before it.

    `cursor`: of `django_cursor`, inside a transaction, as an error ends all that follow. Where it does not prepare
    (PREPARE_STATEMENTS) they run one by one; `alone`: there is just one, for which a pipe costs a round trip more.
    When a megabyte of text is on its way, the next one waits for the oldest answer: the driver would keep, and move
    about again and again, all that the server has not yet taken.
    """

    def at_once(query: str, params: Mapping[str, Any]) -> Callable[[], list[Any]]:
        cursor.execute(query, params)
        found: list[Any] = cursor.fetchall()
        return lambda: found

    if alone or not (isinstance(cursor, PreparingCursor) and psycopg.Pipeline.is_supported()):
        yield at_once
        return
    waiting: deque[tuple[int, _Answer]] = deque()
    on_the_way = 0

    def into_the_pipe(query: str, params: Mapping[str, Any]) -> Callable[[], list[Any]]:
        nonlocal on_the_way
        size = sum(len(value) for value in params.values() if isinstance(value, str))
        while waiting and on_the_way + size > _UNDER_WAY:
            sent, oldest = waiting.popleft()
            oldest()
            on_the_way -= sent
        # A cursor of its own: an answer may arrive while the next statement is being sent.
        answer = _Answer(cursor.beside().execute(query, params))
        waiting.append((size, answer))
        on_the_way += size
        return answer

    with cursor.errors, cursor.connection.pipeline():
        yield into_the_pipe


class _Answer:
    """Rows that are read once, and may be asked for again."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._rows: list[Any] | None = None

    def __call__(self) -> list[Any]:
        if self._rows is None:
            self._rows = self._cursor.fetchall()
        return self._rows


class PipedCursor(psycopg.Cursor[Any]):
    """A cursor for a pipe: every statement has one of its own beneath it.

    In a pipe the answer to one statement may arrive while the next is being sent. The driver hands it to the cursor
    that asked, whose answer to the next statement it then seems to be.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self._latest: psycopg.Cursor[Any] = connection.cursor()

    def execute(self, query: Any, params: Any = None, **options: Any) -> PipedCursor:
        self._latest = self.connection.cursor()
        self._latest.execute(query, params, **options)
        return self

    def fetchall(self) -> list[Any]:
        return self._latest.fetchall()

    def fetchone(self) -> Any:
        return self._latest.fetchone()

    @property
    def rowcount(self) -> int:
        """-1 until the answer has been fetched."""
        return self._latest.rowcount


def in_transaction(
    connection: psycopg.Connection[Any],
    work: Callable[[psycopg.Cursor[Any]], Result],
    *,
    piped: bool = False,
    alone: bool = False,
) -> Result:
    """Run `work` in one transaction; again from the start after a deadlock. Other errors go to the caller.

    `piped`: BEGIN, COMMIT and statements that return nothing travel with the others instead of each on its own. Row
    counts are not known then. `alone`: `work` runs one statement, which needs no BEGIN and COMMIT around it.
    """
    run = _alone if alone else _piped if piped and psycopg.Pipeline.is_supported() else _plain
    for attempt in range(1, _TRIES + 1):
        try:
            return run(connection, work)
        except RETRIED as error:
            if attempt == _TRIES:
                raise
            logger.info("transaction again (%s, try %d)", type(error).__name__, attempt)
        except errors.IdleInTransactionSessionTimeout as error:
            # To the driver it is an internal error; to everybody here it is a connection that was lost.
            raise psycopg.OperationalError(str(error)) from error
        except errors.FeatureNotSupported as error:
            # A migration changed a type beneath a prepared statement ("cached plan must not change result type").
            connection.close()
            raise psycopg.OperationalError(str(error)) from error
    raise AssertionError("unreachable")


def _plain(connection: psycopg.Connection[Any], work: Callable[[psycopg.Cursor[Any]], Result]) -> Result:
    with connection.transaction(), connection.cursor() as cursor:
        return work(cursor)


def _alone(connection: psycopg.Connection[Any], work: Callable[[psycopg.Cursor[Any]], Result]) -> Result:
    with connection.cursor() as cursor:
        return work(cursor)


def _piped(connection: psycopg.Connection[Any], work: Callable[[psycopg.Cursor[Any]], Result]) -> Result:
    """After an error the server passes over the rest up to the end of the pipeline, the COMMIT too."""
    try:
        with connection.pipeline(), PipedCursor(connection) as cursor:
            cursor.execute("BEGIN")
            result = work(cursor)
            cursor.execute("COMMIT")
    except BaseException:
        if not connection.closed and connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.execute("ROLLBACK")
        raise
    return result
