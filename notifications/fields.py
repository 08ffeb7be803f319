"""Column types of PostgreSQL that Django has no field for; read and written by our SQL, not through the ORM."""

from __future__ import annotations

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["JsonTextField", "SnapshotField", "Xid8Field"]


class Xid8Field(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """A 64-bit transaction id (`xid8`), which never wraps."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "xid8"


class SnapshotField(models.Field):  # type: ignore[type-arg]
    """A `pg_snapshot`: which transactions had ended at one moment."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "pg_snapshot"


class JsonTextField(models.TextField):  # type: ignore[type-arg]
    """`json`, kept as the text it came in: nothing is parsed on the way in beyond the syntax check."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"
