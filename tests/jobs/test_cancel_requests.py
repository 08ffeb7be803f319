"""Requests to cancel that outlived their run: they are answered, and never dropped while the job runs again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import jobs
from jobs import control
from jobs.control import Actor
from jobs.maintenance import Rescuer
from jobs.models import CancelRequest, Closed
from jobs.states import State
from jobs.store import moving
from tests.jobs.ground import consistent, end, in_state, make_worker, state_of, take
from tests.jobs.losing import Clock, lose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _tables_agree(transactional_db: None) -> Iterator[None]:
    yield
    consistent()


@pytest.mark.parametrize(
    ("then", "state"),
    [
        (State.RETRYABLE, "cancelled"),
        (State.AVAILABLE, "cancelled"),
        (State.SCHEDULED, "cancelled"),
        (State.COMPLETED, "completed"),
        (State.DEAD, "dead"),
        (State.CANCELLED, "cancelled"),
    ],
)
def test_a_request_is_answered_when_the_run_ended_another_way(
    rescuer: Rescuer, then: State, state: str
) -> None:
    worker = make_worker()
    job_id = jobs.submit("test.echo").id
    held = take(worker, job_id)
    control.cancel(Actor(), [job_id], reason="wrong file")
    rescuer.tick()
    assert CancelRequest.objects.exists()  # it still runs
    end(worker, held, then)
    rescuer.tick()
    assert state_of(job_id) == state
    assert not CancelRequest.objects.exists()
    if state == "cancelled" and then is not State.CANCELLED:
        assert Closed.objects.get(job_id=job_id).reason == "wrong file"


def test_a_job_that_was_to_be_cancelled_is_not_run_again_after_its_worker_was_lost(
    rescuer: Rescuer, clock: Clock
) -> None:
    worker = make_worker()
    job_id = jobs.submit("test.echo").id
    take(worker, job_id)
    control.cancel(Actor(), [job_id])
    lose(worker, rescuer, clock)
    assert state_of(job_id) == "cancelled"
    assert in_state(State.AVAILABLE) != job_id


def test_a_request_is_not_dropped_when_the_job_is_taken_while_it_is_answered(
    rescuer: Rescuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was given back, seen as not running, and claimed before it could be closed: the new run must hear."""
    worker = make_worker()
    job_id = jobs.submit("test.echo").id
    held = take(worker, job_id)
    control.cancel(Actor(), [job_id])
    end(worker, held, State.AVAILABLE)
    real = moving.close

    def close_too_late(*args: Any, **options: Any) -> Any:
        take(worker, job_id)
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(moving, "close", close_too_late)
        rescuer.tick()
    assert state_of(job_id) == "running"
    assert CancelRequest.objects.get().pk == job_id
