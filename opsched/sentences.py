"""Turns a mistake of the surroundings into one sentence that says what to do; used at the edges of the program.

Knows nothing of jobs. Returns None for everything that is a fault of the program and deserves its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import OperationalError

from opsched.embedded.errors import DatabaseUnavailable

__all__ = ["one_sentence"]

_DISK_FULL = "53100"


def one_sentence(error: BaseException) -> str | None:
    """What to tell the operator, or None."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, DatabaseUnavailable | ImproperlyConfigured):
            return str(cause)
    for cause in causes:
        if isinstance(cause, OperationalError) and _never_connected(cause):
            return _unreachable(cause)
        if isinstance(cause, OperationalError) and _sqlstate(cause) == _DISK_FULL:
            return "The disk of the database is full: free some space and try again; nothing acknowledged is lost."
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _never_connected(error: OperationalError) -> bool:
    # The server gives every refusal of a *statement* a SQLSTATE; without one there was no conversation at all.
    return error.__cause__ is not None and _sqlstate(error) is None


def _sqlstate(error: OperationalError) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def _unreachable(error: OperationalError) -> str:
    from django.db import connection

    settings = connection.settings_dict
    place = f"{settings['HOST'] or 'localhost'}:{settings['PORT'] or 5432}"
    reason = next(iter(str(error).strip().splitlines()), "no answer").removeprefix("connection failed: ")
    return (
        f"The database at {place} cannot be reached ({reason}): start it or correct DATABASE_URL, "
        "or unset DATABASE_URL to use the embedded database."
    )
