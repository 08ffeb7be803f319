"""How tests lose a worker without waiting: a clock that they move, and a rescuer that looks by it."""

from __future__ import annotations

from django.db import connection

from jobs import conf
from jobs.database import django_cursor
from jobs.maintenance import Rescuer
from jobs.models import WorkerProcess
from jobs.store import workers

__all__ = ["Clock", "beat", "grow_old", "lease", "lose", "state_of_worker", "watch"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lease() -> float:
    return conf.get().LEASE_SECONDS


def beat(worker_id: int) -> bool:
    with django_cursor() as cursor:
        return workers.heartbeat(cursor, worker_id, draining=False, stats={})


def grow_old(worker_id: int) -> None:
    """Its last heartbeat was long ago by the database's clock; its beat does not move."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_workerprocess SET heartbeat_at = clock_timestamp() - interval '1 hour' WHERE id = %s",
            [worker_id],
        )


def state_of_worker(worker_id: int) -> str:
    return WorkerProcess.objects.get(pk=worker_id).state


def watch(rescuer: Rescuer, clock: Clock, seconds: float) -> int:
    """The loop looks in short steps for so long; how many jobs it gave back."""
    rescued = 0
    for _ in range(4):
        clock.now += seconds / 4
        rescued += rescuer.tick()
    return rescued


def lose(worker_id: int, rescuer: Rescuer, clock: Clock) -> None:
    """The worker stands still until it is declared lost and rescued."""
    rescuer.tick()
    grow_old(worker_id)
    watch(rescuer, clock, lease())
    assert state_of_worker(worker_id) == "lost"
