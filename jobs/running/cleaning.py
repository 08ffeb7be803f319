"""What a handler did to the Django connections of its thread is not the next job's to find."""

from __future__ import annotations

import threading
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

__all__ = ["clean_connections"]


class _Thread(threading.local):
    """Has this thread ever connected? Asking Django for its connections costs more than a short job."""

    connected = False


_thread = _Thread()


def _note(**_: Any) -> None:
    _thread.connected = True


connection_created.connect(_note, dispatch_uid="jobs.running.cleaning")


def clean_connections() -> None:
    """Close what is broken, too old or left inside a transaction; called after each handler, in its thread."""
    if not _thread.connected:
        return
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            # A transaction left open: Django would go on in it, and the next job's writes would never be committed.
            connection.close()
            del connections[connection.alias]
        else:
            connection.close_if_unusable_or_obsolete()
