"""How a worker process writes itself down in the database, and signs off."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from jobs.database import in_transaction, open_connection
from jobs.loop import DATABASE_AWAY, first_line
from jobs.seat import Seat
from jobs.store import workers
from jobs.store.statements import Cursor

__all__ = ["sign_off", "write_down"]

logger = logging.getLogger("opsched.worker")


def write_down(
    cursor: Cursor, *, seat: Seat, left: tuple[int, Mapping[str, Any]] | None, name: str, **row: Any
) -> int:
    """The new worker's id. `left`: id and counters under which this process went on until it was declared lost.

    Otherwise whoever is written in the seat was another process, which is dead.
    """
    host, pid = socket.gethostname(), os.getpid()
    if left is not None:
        # The old id's heartbeat is not heard any more; without this what it counted last would be lost with it.
        workers.leave(cursor, left[0], stats=dict(left[1]))
    else:
        before, its_pid = seat.taken_by
        if before and workers.lose_dead(cursor, worker_id=before, hostname=host, pid=its_pid):
            logger.warning("worker %d has died: what it held runs again", before)
    return workers.register(cursor, name=name or f"{host}-{pid}", hostname=host, pid=pid, **row)


def sign_off(worker_id: int, stats: dict[str, Any]) -> None:
    """Stopped on purpose. Without a database the lease tells it, or the next process in the seat."""
    try:
        with open_connection("opsched sign off") as connection:
            in_transaction(connection, lambda cursor: workers.stop(cursor, worker_id, stats=stats))
    except DATABASE_AWAY as error:
        logger.warning("could not sign off (%s); the lease will tell", first_line(error))
