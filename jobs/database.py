"""The worker's own connection: settings for its statements, and one way to run a transaction.

A deadlock or a serialization failure is retried as a whole. A lost connection is not: whether the commit happened is
unknown then, and only the caller knows how to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from notifications.pg import connect

__all__ = ["RETRIED", "in_transaction", "open_connection"]

logger = logging.getLogger("opsched.worker")

Result = TypeVar("Result")
RETRIED = (errors.DeadlockDetected, errors.SerializationFailure)
_TRIES = 5

# The statements of a worker reach their rows by primary key or by an index range. With a thousand ids the planner
# chose to hash the whole job table instead, which was five times slower; it may still do so where no index fits.
_PLANNER = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off"


def open_connection(name: str) -> psycopg.Connection[Any]:
    """A connection for the statements of a worker."""
    connection = connect(autocommit=True, name=name)
    connection.execute(_PLANNER)
    return connection


def in_transaction(
    connection: psycopg.Connection[Any], work: Callable[[psycopg.Cursor[Any]], Result]
) -> Result:
    """Run `work` in one transaction; again from the start after a deadlock. Other errors go to the caller."""
    for attempt in range(1, _TRIES + 1):
        try:
            with connection.transaction(), connection.cursor() as cursor:
                return work(cursor)
        except RETRIED as error:
            if attempt == _TRIES:
                raise
            logger.info("transaction again (%s, try %d)", type(error).__name__, attempt)
    raise AssertionError("unreachable")
