"""What a child writes into its seat is read by its parent, and by the child that follows."""

from __future__ import annotations

import os

import pytest

from jobs.database import django_cursor
from jobs.models import WorkerProcess
from jobs.seat import Seat
from jobs.store import workers
from notifications.items import expand
from notifications.models import Event
from tests.jobs.ground import make_worker


def test_it_is_shared_with_children() -> None:
    seat, other = Seat(), Seat()
    assert seat.taken_by == (0, 0)
    for worker_id in (7, 2**62):
        child = os.fork()
        if not child:
            seat.take(worker_id)
            os._exit(0)
        os.waitpid(child, 0)
        assert (seat.taken_by, other.taken_by) == ((worker_id, child), (0, 0))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "told"), [("live", True), ("draining", True), ("stopped", False), ("lost", False)]
)
def test_who_has_died_is_lost_at_once_unless_it_signed_off(state: str, told: bool) -> None:
    dead, alive = make_worker("dead"), make_worker("alive")
    WorkerProcess.objects.filter(pk=dead).update(state=state, beat=5)
    Event.objects.all().delete()
    with django_cursor() as cursor:
        assert workers.lose_dead(cursor, worker_id=dead, hostname="test", pid=1) is told
        assert not workers.lose_dead(cursor, worker_id=dead, hostname="test", pid=1)
    assert WorkerProcess.objects.get(pk=dead).state == ("lost" if told else state)
    assert WorkerProcess.objects.get(pk=alive).state == "live"
    kinds = [kind for event in Event.objects.all() for _, kind, _, _ in expand(event.items)]
    assert kinds == (["worker.lost"] if told else [])


@pytest.mark.django_db
@pytest.mark.parametrize(("hostname", "pid"), [("test", 2), ("another", 1), ("", 0)])
def test_an_id_that_is_somebody_elses_by_now_is_left_alone(hostname: str, pid: int) -> None:
    """After a restore, or with another database, ids are given out anew."""
    alive = make_worker("alive")
    with django_cursor() as cursor:
        assert not workers.lose_dead(cursor, worker_id=alive, hostname=hostname, pid=pid)
    assert WorkerProcess.objects.get(pk=alive).state == "live"
