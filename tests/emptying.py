"""How tables are emptied after a test that commits: only those that were written to, and what migrate left stays.

Django's own way truncates all sixty of them, with their hundred indexes, and then makes every content type and
permission anew: most of the time that a small test of a race took. A table without a page needs no truncation. Where a
test changed what migrate leaves behind, all of it is done.
"""

from __future__ import annotations

from typing import Any

from django.core.management.sql import emit_post_migrate_signal
from django.db import OperationalError, connections, transaction
from django.test import TransactionTestCase
from psycopg.errors import DeadlockDetected

__all__ = ["Emptier"]

_MIGRATED = ("auth_permission", "django_content_type")
_SUMS = "SELECT " + ", ".join(
    f"(SELECT sum(hashtextextended(t::text, 0)) FROM {table} t)" for table in _MIGRATED
)
_WRITTEN = """
    SELECT relname FROM pg_class
    WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace AND pg_relation_size(oid) > 0
"""
_TRIES = 5


class Emptier:
    """Takes the place of the flush while it is `installed`."""

    def __init__(self) -> None:
        self._migrated: Any = None
        self._flush = TransactionTestCase._fixture_teardown

    def install(self) -> None:
        TransactionTestCase._fixture_teardown = lambda test: self._empty(  # type: ignore[method-assign]
            connections[test._databases_names(include_mirrors=False)[0]]
        )

    def remove(self) -> None:
        TransactionTestCase._fixture_teardown = self._flush  # type: ignore[method-assign]

    def _empty(self, connection: Any) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                whole = self._truncate(connection)
                break
            except OperationalError as error:
                # Truncation locks tables that a web process or worker of the test may be reading; PostgreSQL then ends
                # one side of the deadlock.
                if attempt == _TRIES or not isinstance(error.__cause__, DeadlockDetected):
                    raise
        if whole:
            emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias)
            with connection.cursor() as cursor:
                cursor.execute(_SUMS)
                self._migrated = cursor.fetchone()

    def _truncate(self, connection: Any) -> bool:
        """True where what migrate left had to go too."""
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(_SUMS)
            whole = self._migrated is None or cursor.fetchone() != self._migrated
            tables = connection.introspection.django_table_names(include_views=False)
            kept = () if whole else _MIGRATED
            cursor.execute(_WRITTEN, [[table for table in tables if table not in kept]])
            written = ", ".join(connection.ops.quote_name(row[0]) for row in cursor.fetchall())
            if written:
                # What refers to them is empty or among them; no table that is kept refers to one that is not.
                cursor.execute(f"TRUNCATE {written} CASCADE")
        return whole
