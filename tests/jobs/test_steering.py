"""Operator actions on queues and schedules: permitted, done, recorded, told; and that a pause really holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs
from jobs import JobSpec, control, steering
from jobs.control import Actor
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.models import Job, OperatorAction, Queue, Ready, Schedule
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import consistent, last_action, person, state_of, told
from tests.jobs.steered import FIELDS, ME, queue, schedule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _tables_agree(db: None) -> Iterator[None]:
    yield
    consistent()


def paused_queue() -> str:
    return steering.pause_queue(ME, queue()).name


def paused_schedule() -> int:
    return steering.pause_schedule(ME, schedule().pk).pk


# -- what every action has in common -----------------------------------------------------------------------------------

# name: (permissions, make the object, act on it, target type, kind of its own event)
Case = tuple[tuple[str, ...], Callable[[], Any], Callable[[Actor, Any], Any], str, str]
ACTIONS: dict[str, Case] = {
    "pause queue": (
        ("pause_queue",), queue, lambda a, it: steering.pause_queue(a, it, reason="why"), "queue", "queue.paused"),
    "resume queue": (
        ("pause_queue",), paused_queue, lambda a, it: steering.resume_queue(a, it, reason="why"), "queue",
        "queue.resumed"),
    "change queue": (
        ("change_queue",), queue, lambda a, it: steering.change_queue(a, it, weight=2, reason="why"),
        "queue", "queue.changed"),
    "create schedule": (
        ("add_schedule",), lambda: None, lambda a, _: steering.create_schedule(a, reason="why", **FIELDS), "schedule",
        "schedule.changed"),
    "change schedule": (
        ("change_schedule",), lambda: schedule().pk,
        lambda a, it: steering.update_schedule(a, it, priority=5, reason="why"), "schedule", "schedule.changed"),
    "pause schedule": (
        ("pause_schedule",), lambda: schedule().pk,
        lambda a, it: steering.pause_schedule(a, it, reason="why"), "schedule", "schedule.changed"),
    "resume schedule": (
        ("pause_schedule",), paused_schedule, lambda a, it: steering.resume_schedule(a, it, reason="why"), "schedule",
        "schedule.changed"),
    "run schedule": (
        ("change_schedule", "submit_job"), lambda: schedule().pk,
        lambda a, it: steering.run_schedule(a, it, reason="why"), "schedule", "job.submitted"),
    "delete schedule": (
        ("delete_schedule",), lambda: schedule().pk,
        lambda a, it: steering.delete_schedule(a, it, reason="why"), "schedule", "schedule.changed"),
}  # fmt: skip
ALL = {permission for permissions, *_ in ACTIONS.values() for permission in permissions}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_permitted_done_recorded_and_told(name: str) -> None:
    permissions, make, act, target, kind = ACTIONS[name]
    user = person("ada", *permissions)
    thing = make()
    before = len(told())
    act(Actor.of(user), thing)
    entry = last_action()
    assert (f"{entry.action} {entry.target_type}", entry.actor, entry.actor_name) == (name, user, "ada")
    assert entry.target_type == target
    assert entry.target_id == str(thing if thing is not None else Schedule.objects.get().pk)
    assert entry.before != entry.after
    assert entry.reason == "why"
    fresh = told()[before:]
    assert kind in [item[0] for item in fresh]
    (event,) = [item for item in fresh if item[0] == "operator.action"]
    assert event[1] == ["ops"]
    assert (event[2]["actor"], event[2]["target_id"]) == ("ada", entry.target_id)
    assert all("ops" in item[1] for item in fresh if item[0].startswith(("queue.", "schedule.")))


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_without_its_permission_changes_nothing(name: str) -> None:
    permissions, make, act, _, _ = ACTIONS[name]
    thing = make()
    before = (
        len(told()),
        OperatorAction.objects.count(),
        list(Schedule.objects.values()),
        list(Queue.objects.values()),
    )
    for missing in permissions:
        actor = Actor.of(person(f"eve without {missing}", *(ALL - {missing})))
        with pytest.raises(PermissionDenied, match=missing):
            act(actor, thing)
    assert before == (
        len(told()), OperatorAction.objects.count(), list(Schedule.objects.values()), list(Queue.objects.values()),
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ACTIONS if not name.startswith("create")])
def test_what_does_not_exist_is_not_found(name: str) -> None:
    _, _, act, target, _ = ACTIONS[name]
    with pytest.raises(NotFound):
        act(ME, "nothing" if target == "queue" else 10**9)
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize("reason", ["a\x00b", "x" * 1001, "\ud800"])
@pytest.mark.parametrize(
    "name",
    ["pause_queue", "change_queue", "pause_schedule", "update_schedule", "run_schedule", "delete_schedule"],
)
def test_a_reason_that_cannot_be_kept_is_refused(name: str, reason: str) -> None:
    thing = queue() if "queue" in name else schedule().pk
    before = OperatorAction.objects.count()
    with pytest.raises(InvalidSubmission) as caught:
        getattr(steering, name)(ME, thing, reason=reason)
    assert caught.value.field == "reason"
    assert OperatorAction.objects.count() == before


@pytest.mark.parametrize(
    ("act", "make", "word"),
    [
        (steering.pause_queue, paused_queue, "already paused"),
        (steering.resume_queue, queue, "not paused"),
        (steering.pause_schedule, paused_schedule, "already paused"),
        (steering.resume_schedule, lambda: schedule().pk, "not paused"),
    ],
)
def test_what_is_so_already_is_refused(act: Any, make: Any, word: str) -> None:
    thing = make()
    with pytest.raises(ActionRefused, match=word):
        act(ME, thing)


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_pause_stops_claims_and_a_resume_lets_them_go_on(bench: Bench) -> None:
    """Also for what the worker had in its heap before: the claim itself asks for the pause."""
    first = jobs.submit("test.echo")
    bench.scheduler._window.poll(bench.connection.cursor())
    assert len(bench.scheduler._window) == 1
    steering.pause_queue(ME, "test")
    second = jobs.submit("test.echo")
    assert bench.scheduler.tick().claimed == 0
    for _ in range(3):
        assert bench.round().claimed == 0
    assert [state_of(one.id) for one in (first, second)] == ["available", "available"]
    steering.resume_queue(ME, "test")
    bench.until(first.id, "completed")
    bench.until(second.id, "completed")


@pytest.mark.django_db(transaction=True)
def test_a_new_priority_changes_the_order_of_starts(bench: Bench) -> None:
    bench.close()
    kinds.BEGUN.clear()
    placed = [one.id for one in jobs.submit_many([JobSpec(kind="test.noted")] * 4)]
    one = Bench(concurrency=1)
    try:
        one.scheduler._window.poll(one.connection.cursor())
        control.set_priority(ME, [placed[3]], 50)
        control.set_priority(ME, [placed[0]], -50)
        for job_id in placed:
            one.until(job_id, "completed")
    finally:
        one.close()
    assert kinds.BEGUN[:] == [placed[3], placed[1], placed[2], placed[0]]


def test_what_is_as_it_was_is_neither_recorded_nor_told() -> None:
    name, row = queue(), schedule()
    steering.change_queue(ME, name, weight=3, max_running=5)
    steering.update_schedule(ME, row.pk, priority=5)
    before = (OperatorAction.objects.count(), len(told()))
    late = datetime.now(UTC) - timedelta(days=1)
    Schedule.objects.update(next_slot_at=late)
    steering.change_queue(ME, name, weight=3, max_running=5, reason="again")
    steering.change_queue(ME, name)
    assert steering.update_schedule(ME, row.pk, priority=5).next_slot_at == late
    assert Schedule.objects.get().next_slot_at == late, "missed slots are not passed over"
    assert (OperatorAction.objects.count(), len(told())) == before


def test_another_ageing_ranks_what_waits_anew() -> None:
    """An hour of waiting is worth 60 steps of priority at 60 s a step, and less than one at a day a step."""
    old, new = jobs.submit("test.echo").id, jobs.submit("test.echo", priority=10).id
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    Job.objects.filter(pk=old).update(ready_at=hour_ago)
    steering.change_queue(ME, "test", description="", ageing_seconds=61)
    order = Ready.objects.order_by("rank").values_list("job", flat=True)
    assert list(order.all()) == [old, new]
    steering.change_queue(ME, "test", description="", ageing_seconds=86400)
    assert list(order.all()) == [new, old]
    steering.change_queue(ME, "test", description="", ageing_seconds=None)
    assert list(order.all()) == [new, old]
    steering.change_queue(ME, "test", description="", ageing_seconds=60)
    assert list(order.all()) == [old, new]
    assert last_action().before["ageing_seconds"] is None


def test_without_ageing_priority_is_strict() -> None:
    queue()
    steering.change_queue(ME, "test", description="", ageing_seconds=None)
    Job.objects.update(ready_at=datetime(1990, 1, 1, tzinfo=UTC))
    steering.change_queue(ME, "test", description="", ageing_seconds=60)
    steering.change_queue(ME, "test", description="", ageing_seconds=None)
    better = jobs.submit("test.echo", priority=1).id
    assert Ready.objects.earliest("rank").pk == better


def test_ranks_stay_within_a_bigint_at_the_widest_settings() -> None:
    for priority in (-100, 100):
        jobs.submit("test.echo", priority=priority)
    for ageing in (None, 31_536_000.0, 1.0):
        steering.change_queue(ME, "test", description="", ageing_seconds=ageing)
        high, low = Ready.objects.order_by("rank").values_list("job__priority", flat=True)
        assert (high, low) == (100, -100)


@pytest.mark.parametrize("ageing", [0, -1, float("nan"), float("inf"), 31_536_001.0, "60", True])
def test_an_ageing_out_of_range_is_refused(ageing: Any) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        steering.change_queue(ME, queue(), description="", ageing_seconds=ageing)
    assert caught.value.field == "ageing_seconds"


# -- submission as an actor --------------------------------------------------------------------------------------------


def test_submitting_as_an_actor_needs_the_permission_and_is_remembered() -> None:
    specs = [JobSpec(kind="test.echo", key="a")]
    eve = Actor.of(person("eve", "cancel_job"))
    with pytest.raises(PermissionDenied):
        steering.submit(eve, specs)
    with pytest.raises(PermissionDenied):
        steering.submit_workflow(eve, "w", specs)
    assert not Job.objects.exists()
    ada = person("ada", "submit_job")
    steering.submit(Actor.of(ada), specs)
    workflow, placed = steering.submit_workflow(Actor.of(ada), "w", specs)
    assert {job.created_by_id for job in Job.objects.all()} == {ada.pk}
    assert Job.objects.get(pk=placed[0].id).workflow_id == workflow


def test_errors_name_the_item_where_it_was_in_a_list() -> None:
    bad = [JobSpec(kind="test.echo", priority=200)]
    for named, field in ((None, "priority"), (True, "jobs[0].priority"), (False, "priority")):
        with pytest.raises(InvalidSubmission) as caught:
            steering.submit(ME, bad, name_items=named)
        assert caught.value.field == field
