"""What a handler did to the Django connections of its thread is not the next job's to find."""

from __future__ import annotations

from django.db import connections

__all__ = ["clean_connections"]


def clean_connections() -> None:
    """Close what is broken, too old or left inside a transaction; called after each handler, in its thread."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            # A transaction left open: Django would go on in it, and the next job's writes would never be committed.
            connection.close()
            del connections[connection.alias]
        else:
            connection.close_if_unusable_or_obsolete()
