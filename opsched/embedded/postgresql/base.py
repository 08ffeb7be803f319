"""Django's PostgreSQL backend, which has the embedded server running before it connects.

Chosen with `ENGINE = "opsched.embedded.postgresql"`; the folder stands in the database's settings under `EMBEDDED`.
Everything else is Django's. Raw connections made from `connection.get_connection_params()` get the same service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from opsched.embedded import client
from opsched.embedded.errors import DatabaseUnavailable
from opsched.embedded.layout import Layout

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def get_connection_params(self) -> dict[str, Any]:
        """Called for every new connection, which makes it the place to start a server on demand."""
        try:
            client.ensure(Layout(root=Path(self.settings_dict["EMBEDDED"])))
        except DatabaseUnavailable as error:
            # Code that waits for a database to come back knows the driver's errors, not ours.
            raise psycopg.OperationalError(str(error)) from error
        return super().get_connection_params()
