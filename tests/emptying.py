"""How tables are emptied after a test that commits: only those that were written to, and what migrate left stays.

Django's own way truncates all sixty of them, with their hundred indexes, and then makes every content type and
permission anew: most of the time that a small test of a race took. A table without a page needs no truncation. Where a
test changed what migrate leaves behind, all of it is emptied and comes back as it was written down after migrating: the
groups, too, which only a migration makes, and which the next test on the same server may look for.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.test import TransactionTestCase
from psycopg.errors import DeadlockDetected

__all__ = ["Emptier"]

_MIGRATED = ("auth_permission", "django_content_type", "auth_group", "auth_group_permissions")
_SUMS = "SELECT " + ", ".join(
    f"(SELECT sum(hashtextextended(t::text, 0)) FROM {table} t)" for table in _MIGRATED
)
_WRITTEN = """
    SELECT relname FROM pg_class
    WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace AND pg_relation_size(oid) > 0
"""
_TRIES = 4


class Emptier:
    """Takes the place of the flush for as long as the patch lasts. Made when the database has just been migrated."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        connection = connections["default"]
        self._contents = connection.creation.serialize_db_to_string()
        self._sums = _sums(connection)
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: self.empty(connections["default"]))

    def empty(self, connection: Any) -> None:
        if self._truncated(connection):
            connection.creation.deserialize_db_from_string(self._contents)
            self._sums = _sums(connection)

    def _truncated(self, connection: Any) -> bool:
        """Truncation locks tables that a web process or worker of the test may be reading.

        PostgreSQL then ends one side of the deadlock; where that is this one, it is simply done again.
        """
        for _ in range(_TRIES):
            try:
                return self._truncate(connection)
            except OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected):
                    raise
        return self._truncate(connection)

    def _truncate(self, connection: Any) -> bool:
        """True where what migrate left had to go too."""
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            whole = _sums(connection) != self._sums
            tables = connection.introspection.django_table_names(include_views=False)
            kept = () if whole else _MIGRATED
            cursor.execute(_WRITTEN, [[table for table in tables if table not in kept]])
            written = ", ".join(connection.ops.quote_name(row[0]) for row in cursor.fetchall())
            if written:
                # What refers to them is empty or among them; no table that is kept refers to one that is not.
                cursor.execute(f"TRUNCATE {written} CASCADE")
        return whole


def _sums(connection: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(_SUMS)
        return cursor.fetchone()
