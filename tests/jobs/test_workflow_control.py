"""Operator actions on workflows: cancelled as a whole, or left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs
from jobs import JobSpec, control
from jobs.control import Actor
from jobs.errors import ActionRefused, NotFound
from jobs.models import CancelRequest, DeadLetter, Job, OperatorAction, Workflow
from jobs.states import State
from tests.jobs.ground import consistent, end, last_action, make_worker, person, take, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _tables_agree(db: None) -> Iterator[None]:
    yield
    consistent()


ME = Actor(name="me")


def mixed_workflow() -> tuple[int, dict[str, int], int]:
    """One with a completed, a running, an available, a dead and two blocked jobs; its id, its jobs, the worker."""
    wanted = {"done": [], "runs": [], "waits": [], "dies": [], "below": ["dies"], "after": ["runs", "below"]}
    specs = [JobSpec(kind="test.echo", key=key, parents=parents) for key, parents in wanted.items()]
    workflow, placed = jobs.submit_workflow("mixed", specs)
    ids = {one.key: one.id for one in placed}
    worker = make_worker()
    end(worker, take(worker, ids["done"]), State.COMPLETED)
    end(worker, take(worker, ids["dies"]), State.DEAD)
    take(worker, ids["runs"])
    return workflow, ids, worker


def test_cancelling_a_workflow_ends_everything_that_has_not_ended() -> None:
    workflow, ids, _ = mixed_workflow()
    user = person("ada", "cancel_workflow")
    result = control.cancel_workflow(Actor.of(user), workflow, reason="superseded")
    assert result.requested == [ids["runs"]]
    assert result.done == sorted(ids[key] for key in ("waits", "dies", "below", "after"))
    states = dict(Job.objects.values_list("task", "state"))
    assert states.pop("dies") == "discarded"
    assert states == {"done": "completed", "runs": "running", "waits": "cancelled",
                      "below": "cancelled", "after": "cancelled"}  # fmt: skip
    entry = last_action()
    assert (entry.action, entry.target_type, entry.target_id) == ("cancel", "workflow", str(workflow))
    assert (entry.actor_name, entry.reason, entry.before) == ("ada", "superseded", {"state": "running"})
    assert entry.after == {"cancelled": 3, "discarded": 1, "asked to stop": 1}
    assert told("operator.action")[-1][1] == ["ops"]


def test_a_cancelled_workflow_says_so_when_its_last_running_job_has_stopped() -> None:
    workflow, ids, worker = mixed_workflow()
    control.cancel_workflow(ME, workflow)
    assert Workflow.objects.get(pk=workflow).state == "running"
    job = Job.objects.get(pk=ids["runs"])
    (claimed,) = [one for one in _held(worker) if one.id == job.pk]
    end(worker, [claimed], State.CANCELLED)
    found = Workflow.objects.get(pk=workflow)
    assert (found.state, found.active, found.blocked, found.dead) == ("cancelled", 0, 0, 0)
    assert not CancelRequest.objects.exists()
    with pytest.raises(ActionRefused, match="cancelled and cannot be cancelled"):
        control.cancel_workflow(ME, workflow)


def _held(worker: int) -> list[Any]:
    from jobs.database import django_cursor
    from jobs.reconciling import reconcile

    with django_cursor() as cursor:
        return reconcile(cursor, worker_id=worker, unconfirmed=[], known_claims=[]).claimed


def test_a_workflow_that_is_over_or_unknown_or_not_permitted_is_left_alone() -> None:
    workflow, (one,) = jobs.submit_workflow("one", [JobSpec(kind="test.echo", key="a")])
    with pytest.raises(PermissionDenied):
        control.cancel_workflow(Actor.of(person("eve", "cancel_job")), workflow)
    worker = make_worker()
    end(worker, take(worker, one.id), State.COMPLETED)
    with pytest.raises(ActionRefused, match="is completed"):
        control.cancel_workflow(ME, workflow)
    with pytest.raises(NotFound):
        control.cancel_workflow(ME, 10**12)
    assert not OperatorAction.objects.exists()


def test_a_failed_workflow_can_be_cancelled_and_frees_its_dead_letters() -> None:
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    workflow, (a, _) = jobs.submit_workflow("held", specs)
    worker = make_worker()
    end(worker, take(worker, a.id), State.DEAD)
    assert Workflow.objects.get(pk=workflow).state == "failed"
    control.cancel_workflow(ME, workflow)
    assert Workflow.objects.get(pk=workflow).state == "cancelled"
    assert not DeadLetter.objects.exists()


def test_a_failed_workflow_with_nothing_left_cannot_be_cancelled_again() -> None:
    workflow, _ = jobs.submit_workflow("w", [JobSpec(kind="test.echo", key="a")])
    control.cancel(ME, Job.objects.filter(workflow_id=workflow).values_list("pk", flat=True))
    with pytest.raises(ActionRefused):
        control.cancel_workflow(ME, workflow)
    assert not OperatorAction.objects.filter(target_type="workflow").exists()
