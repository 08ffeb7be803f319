"""Requests and rows that change hands between two looks: nothing is forgotten, and nobody turns in circles for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobs
from jobs import control
from jobs.control import Actor
from jobs.database import open_connection
from jobs.maintenance import Rescuer
from jobs.models import CancelRequest, Job
from jobs.states import State
from jobs.store import moving
from jobs.store.values import Transition
from tests.jobs.conftest import Bench
from tests.races.harness import Hand, submit_some

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]


def test_a_job_that_runs_again_meanwhile_keeps_its_request_to_stop(
    hand: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given back with its request open, seen as waiting by a rescuer, claimed by another before it was cancelled."""
    ids = submit_some(1)
    one, other = hand("one"), hand("other")
    (job,) = one.claim(ids)
    assert control.cancel(Actor(), ids).requested == ids
    one.end(Transition(job=job, target=State.AVAILABLE, refund=True))
    real = moving.close

    def late(*args: Any, **options: Any) -> Any:
        assert other.claim(ids)
        return real(*args, **options)

    rescuer = Rescuer(on_death=lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(moving, "close", late)
        rescuer.tick()
    assert Job.objects.get().state == "running"
    assert CancelRequest.objects.count() == 1
    other.declare_lost()
    rescuer.tick()
    rescuer.stop()
    assert Job.objects.get().state == "cancelled"
    assert not CancelRequest.objects.exists()


@pytest.fixture
def bench(transactional_db: None) -> Any:
    made = Bench()
    yield made
    made.close()


def test_a_due_job_that_somebody_holds_does_not_keep_the_loop_turning(bench: Bench) -> None:
    job = jobs.submit("test.echo", scheduled_at=datetime.now(UTC) + timedelta(milliseconds=50))
    pause, rounds = threading.Event(), 0
    with open_connection("test holder") as holder, holder.transaction():
        holder.execute("SELECT FROM jobs_scheduled WHERE job_id = %s FOR UPDATE", [job.id])
        bench.round()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            bench.scheduler.tick()
            rounds += 1
            pause.wait(bench.scheduler.wait_seconds())
    assert rounds < 150, f"{rounds} rounds in half a second"
    bench.until(job.id, "completed")
