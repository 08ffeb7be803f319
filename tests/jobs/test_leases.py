"""Who is lost: whose heartbeat stood still for a lease while somebody watched, and nobody else, whatever clocks say."""

from __future__ import annotations

import pytest

import jobs
from jobs import maintenance
from jobs.database import django_cursor
from jobs.maintenance import Rescuer
from jobs.models import Attempt, Claim
from jobs.store import workers
from tests.jobs.ground import make_worker, state_of, take, told
from tests.jobs.losing import Clock, beat, grow_old, lease, state_of_worker, watch

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables_agree")]


def test_a_worker_whose_beat_moves_is_never_lost(rescuer: Rescuer, clock: Clock) -> None:
    """However old the heartbeat looks: the database's clock may have stepped."""
    worker = make_worker()
    job_id = jobs.submit("test.echo").id
    take(worker, job_id)
    for _ in range(20):
        rescuer.tick()
        clock.now += lease() * 0.9
        assert beat(worker)
        grow_old(worker)
    assert (state_of_worker(worker), state_of(job_id)) == ("live", "running")


def test_a_worker_that_stands_still_for_a_lease_is_lost_and_its_jobs_run_again(
    rescuer: Rescuer, clock: Clock
) -> None:
    worker = make_worker()
    job_id = jobs.submit("test.echo").id
    take(worker, job_id)
    grow_old(worker)
    rescuer.tick()
    assert watch(rescuer, clock, lease() - 0.01) == 0
    assert state_of_worker(worker) == "live"
    clock.now += 0.02
    assert rescuer.tick() == 1
    assert (state_of_worker(worker), state_of(job_id)) == ("lost", "available")
    assert not Claim.objects.exists()
    assert [item[2]["worker"] for item in told("worker.lost")] == [worker]
    assert [item[2]["job"] for item in told("job.rescued")] == [job_id]
    attempt = Attempt.objects.get(job_id=job_id)
    assert (attempt.outcome, attempt.error_class, attempt.worker_id) == ("lost", "WorkerLost", worker)


def test_a_watcher_whose_own_clock_jumped_does_not_kill_a_worker_that_beat_lately(
    rescuer: Rescuer, clock: Clock
) -> None:
    """A watcher that was itself stopped for an hour."""
    worker = make_worker()
    rescuer.tick()
    clock.now += 3600
    rescuer.tick()
    assert state_of_worker(worker) == "live"


def test_a_worker_that_beat_lately_by_the_databases_clock_is_not_lost(rescuer: Rescuer, clock: Clock) -> None:
    """A watcher whose clock runs too fast: the database's has the second word."""
    worker = make_worker()
    rescuer.tick()
    watch(rescuer, clock, 2 * lease())
    assert state_of_worker(worker) == "live"
    grow_old(worker)
    rescuer.tick()
    assert state_of_worker(worker) == "lost"


def test_after_a_reconnect_watching_begins_anew(rescuer: Rescuer, clock: Clock) -> None:
    """A restart of the database cuts the worker off as well: its silence says nothing about it."""
    worker = make_worker()
    rescuer.tick()
    grow_old(worker)
    watch(rescuer, clock, 0.9 * lease())
    rescuer.connection.close()
    clock.now += 0.2 * lease()
    rescuer.tick()
    assert state_of_worker(worker) == "live"
    watch(rescuer, clock, lease())
    assert state_of_worker(worker) == "lost"


def test_a_pause_of_the_whole_machine_makes_nobody_look_dead(rescuer: Rescuer, clock: Clock) -> None:
    """Or of a database that did not answer, on a connection that held: all heartbeats stood still with the watcher."""
    worker, job_id = make_worker(), jobs.submit("test.echo").id
    take(worker, job_id)
    rescuer.tick()
    grow_old(worker)
    clock.now += lease() * 3
    assert rescuer.tick() == 0
    assert beat(worker)
    grow_old(worker)
    clock.now += lease() * 3
    assert rescuer.tick() == 0
    assert (state_of_worker(worker), state_of(job_id)) == ("live", "running")


def test_if_a_pause_counted_as_watching_a_live_worker_would_be_lost(
    rescuer: Rescuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    worker = make_worker()
    rescuer.tick()
    grow_old(worker)
    clock.now += lease() * 3
    monkeypatch.setattr(maintenance, "SHARE_OF_A_GAP", float("inf"))
    rescuer.tick()
    assert state_of_worker(worker) == "lost"


def test_a_beat_between_the_look_and_the_verdict_saves_the_worker() -> None:
    worker = make_worker()
    with django_cursor() as cursor:
        seen = workers.living(cursor)[worker]
    beat(worker)
    grow_old(worker)
    with django_cursor() as cursor:
        assert not workers.lose(cursor, worker_id=worker, beat=seen, lease=lease())
        assert workers.lose(cursor, worker_id=worker, beat=seen + 1, lease=lease())
        assert not workers.lose(cursor, worker_id=worker, beat=seen + 1, lease=lease())


def test_a_lost_worker_is_told_with_its_next_heartbeat(rescuer: Rescuer, clock: Clock) -> None:
    worker, other = make_worker(), make_worker()
    assert beat(worker)
    rescuer.tick()
    grow_old(worker)
    watch(rescuer, clock, lease() * 0.9)
    beat(other)
    watch(rescuer, clock, lease() * 0.2)
    assert not beat(worker)
    assert beat(other)
    assert state_of_worker(worker) == "lost"
