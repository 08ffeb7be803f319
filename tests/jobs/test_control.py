"""Operator actions on jobs: permitted, done, recorded, told; refused one by one, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

import jobs
from jobs import JobSpec, control
from jobs.control import MAX_AT_ONCE, Actor
from jobs.errors import InvalidSubmission
from jobs.models import (
    Attempt,
    CancelRequest,
    Closed,
    DeadLetter,
    DeadLetterRun,
    Job,
    OperatorAction,
    Ready,
    Workflow,
)
from jobs.states import FINISHED, WAITING, State
from tests.jobs.ground import (
    consistent,
    end,
    in_state,
    last_action,
    make_worker,
    person,
    state_of,
    take,
    told,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _tables_agree(db: None) -> Iterator[None]:
    yield
    consistent()


ME = Actor(name="me")

# Each action on one object: (permission, state to begin with, call).
Action = Callable[[Actor, int], Any]
ACTIONS: dict[str, tuple[str, State, Action]] = {
    "cancel": ("cancel_job", State.AVAILABLE, lambda actor, one: control.cancel(actor, [one], reason="why")),
    "run now": (
        "run_now_job",
        State.SCHEDULED,
        lambda actor, one: control.run_now(actor, [one], reason="why"),
    ),
    "change priority of": (
        "reprioritise_job",
        State.AVAILABLE,
        lambda actor, one: control.set_priority(actor, [one], 9, reason="why"),
    ),
    "replay": (
        "replay_deadletter",
        State.DEAD,
        lambda actor, one: control.replay(actor, [one], reason="why"),
    ),
    "discard": (
        "discard_deadletter",
        State.DEAD,
        lambda actor, one: control.discard(actor, [one], reason="why"),
    ),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_permitted_done_recorded_and_told(name: str) -> None:
    permission, state, act = ACTIONS[name]
    user = person("ada", permission)
    job_id = in_state(state)
    result = act(Actor.of(user), job_id)
    assert (result.done, result.requested, result.refused) == ([job_id], [], [])
    entry = last_action()
    assert (entry.action, entry.target_type, entry.target_id) == (name, "job", str(job_id))
    assert (entry.actor, entry.actor_name, entry.reason) == (user, "ada", "why")
    assert entry.before
    assert entry.after
    assert entry.before != entry.after
    (event,) = told("operator.action")
    assert event[1] == ["ops"]
    assert (event[2]["actor"], event[2]["action"], event[2]["target_id"]) == ("ada", name, str(job_id))
    assert event[2]["reason"] == "why"


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_without_its_permission_changes_nothing(name: str) -> None:
    permission, state, act = ACTIONS[name]
    others = {wanted for wanted, _, _ in ACTIONS.values()} - {permission}
    job_id = in_state(state)
    before = len(told())
    with pytest.raises(PermissionDenied, match=permission):
        act(Actor.of(person("eve", *others)), job_id)
    assert state_of(job_id) == state
    assert not OperatorAction.objects.exists()
    assert len(told()) == before


@pytest.mark.parametrize("name", ACTIONS)
def test_the_command_line_may_do_all(name: str) -> None:
    _, state, act = ACTIONS[name]
    job_id = in_state(state)
    assert act(Actor(), job_id).done == [job_id]
    assert (last_action().actor, last_action().actor_name) == (None, "command line")


@pytest.mark.parametrize("name", ACTIONS)
def test_a_job_that_does_not_exist_is_refused_by_number(name: str) -> None:
    (refusal,) = ACTIONS[name][2](ME, 10**12).refused
    assert (refusal.id, refusal.reason) == (10**12, "there is no job 1000000000000")
    assert not OperatorAction.objects.exists()
    assert told("operator.action") == []


@pytest.mark.parametrize("ids", [[], range(1, MAX_AT_ONCE + 2), [2**63], [True], ["1"]])
def test_no_ids_too_many_or_impossible_ones_are_refused(ids: Any) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        control.cancel(ME, ids)
    assert caught.value.field == "ids"


@pytest.mark.parametrize("act", [control.replay, control.discard])
@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, "a\x00b", "\ud800"])
def test_a_decision_about_a_dead_letter_needs_a_reason(act: Any, reason: str) -> None:
    job_id = in_state(State.DEAD)
    with pytest.raises(InvalidSubmission) as caught:
        act(ME, [job_id], reason=reason)
    assert caught.value.field == "reason"
    assert state_of(job_id) == "dead"


def test_a_mixed_list_is_done_and_refused_one_by_one() -> None:
    ids = {state: in_state(state) for state in State}
    result = control.cancel(ME, [*ids.values(), *ids.values()], reason="stop all")
    assert result.done == sorted(ids[state] for state in WAITING)
    assert result.requested == [ids[State.RUNNING]]
    assert {refusal.id for refusal in result.refused} == {ids[state] for state in FINISHED | {State.DEAD}}
    for refusal in result.refused:
        assert refusal.reason == f"job {refusal.id} is {state_of(refusal.id)} and cannot be cancelled"


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_waiting_job_is_cancelled_at_once(state: State) -> None:
    job_id = in_state(state)
    control.cancel(ME, [job_id], reason="wrong file")
    job = Job.objects.get(pk=job_id)
    assert job.state == "cancelled"
    assert job.finished_at is not None
    assert Closed.objects.get(job=job).reason == "wrong file"
    assert (last_action().before, last_action().after) == ({"state": state}, {"state": "cancelled"})
    assert [item[2]["job"] for item in told("job.cancelled")] == [job_id]


def test_a_running_job_is_asked_to_stop_and_runs_on() -> None:
    job_id = in_state(State.RUNNING)
    assert control.cancel(ME, [job_id], reason="wrong file").requested == [job_id]
    assert state_of(job_id) == "running"
    assert CancelRequest.objects.get().reason == "wrong file"
    assert last_action().action == "request cancel of"
    assert [item[2]["job"] for item in told("job.cancel_requested")] == [job_id]


def test_asking_twice_keeps_the_first_reason() -> None:
    job_id = in_state(State.RUNNING)
    control.cancel(ME, [job_id], reason="first")
    control.cancel(ME, [job_id], reason="second")
    assert CancelRequest.objects.get().reason == "first"


def test_without_a_reason_the_job_says_who_cancelled_it() -> None:
    job_id = in_state(State.AVAILABLE)
    control.cancel(ME, [job_id])
    assert Closed.objects.get(job_id=job_id).reason == "cancelled by me"


def test_cancelling_a_parent_skips_all_below() -> None:
    specs = [JobSpec(kind="test.echo", key=key, parents=parents) for key, parents in
             (("a", []), ("b", ["a"]), ("c", ["b"]), ("d", []))]  # fmt: skip
    workflow, placed = jobs.submit_workflow("chain", specs)
    control.cancel(ME, [placed[0].id])
    states = dict(Job.objects.values_list("task", "state"))
    assert states == {"a": "cancelled", "b": "skipped", "c": "skipped", "d": "available"}
    found = Workflow.objects.get(pk=workflow)
    assert (found.state, found.active, found.closed) == ("running", 1, 3)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYABLE])
def test_run_now_makes_it_available_and_nothing_else_can_be(state: State) -> None:
    job_id = in_state(state)
    assert control.run_now(ME, [job_id]).done == [job_id]
    assert state_of(job_id) == "available"
    (refusal,) = control.run_now(ME, [job_id]).refused
    assert "is available; only scheduled and retryable jobs" in refusal.reason
    for other in set(State) - {State.SCHEDULED, State.RETRYABLE}:
        assert control.run_now(ME, [in_state(other)]).done == []


def test_a_new_priority_is_a_new_rank() -> None:
    first, second = jobs.submit("test.echo").id, jobs.submit("test.echo").id
    assert list(Ready.objects.order_by("rank").values_list("job", flat=True)) == [first, second]
    control.set_priority(ME, [second], 3)
    assert list(Ready.objects.order_by("rank").values_list("job", flat=True)) == [second, first]
    assert Ready.objects.get(job=first).rank - Ready.objects.get(job=second).rank > 170_000_000
    assert (last_action().before, last_action().after) == ({"priority": 0}, {"priority": 3})
    (event,) = told("job.priority")
    assert (event[2]["before"], event[2]["priority"]) == (0, 3)


@pytest.mark.parametrize("state", sorted(WAITING))
def test_the_priority_of_what_waits_holds_when_it_becomes_ready(state: State) -> None:
    job_id = in_state(state)
    assert control.set_priority(ME, [job_id], -7).done == [job_id]
    assert Job.objects.get(pk=job_id).priority == -7
    other = jobs.submit("test.echo", priority=-6).id
    if state in (State.SCHEDULED, State.RETRYABLE):
        control.run_now(ME, [job_id])
    if state is not State.BLOCKED:
        ranks = dict(Ready.objects.values_list("job", "rank"))
        assert ranks[other] < ranks[job_id]


@pytest.mark.parametrize("state", sorted(set(State) - WAITING))
def test_the_priority_of_what_does_not_wait_is_not_changed(state: State) -> None:
    job_id = in_state(state)
    (refusal,) = control.set_priority(ME, [job_id], 5).refused
    assert f"is {state}; only the priority of waiting jobs" in refusal.reason
    assert Job.objects.get(pk=job_id).priority == 0


@pytest.mark.parametrize("priority", [101, -101, 1.5, "5", True, None])
def test_a_priority_out_of_range_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        control.set_priority(ME, [in_state(State.AVAILABLE)], priority)
    assert caught.value.field == "priority"


def test_replay_gives_fresh_attempts_and_goes_on_counting() -> None:
    job_id = jobs.submit("test.echo", max_attempts=1).id
    worker = make_worker()
    end(worker, take(worker, job_id), State.DEAD)
    control.replay(ME, [job_id], reason="mended", attempts=3)
    job = Job.objects.get(pk=job_id)
    assert (job.state, job.attempt, job.max_attempts, job.finished_at) == ("available", 1, 4, None)
    assert not DeadLetter.objects.exists()
    assert Attempt.objects.filter(job=job).count() == 1
    after = {"state": "available", "run": DeadLetterRun.objects.get().pk}
    assert (last_action().before, last_action().after) == ({"state": "dead"}, after)
    (claimed,) = take(worker, job_id)
    assert claimed.attempt == 2
    (event,) = told("job.replayed")
    assert "ops" in event[1]


@pytest.mark.parametrize("attempts", [0, -1, 1001, 2.5, True])
def test_a_number_of_attempts_out_of_range_is_refused(attempts: Any) -> None:
    job_id = in_state(State.DEAD)
    with pytest.raises(InvalidSubmission) as caught:
        control.replay(ME, [job_id], reason="mended", attempts=attempts)
    assert caught.value.field == "attempts"
    assert state_of(job_id) == "dead"


@pytest.mark.parametrize("state", sorted(set(State) - {State.DEAD}))
@pytest.mark.parametrize("act", [control.replay, control.discard])
def test_only_dead_letters_are_replayed_or_discarded(act: Any, state: State) -> None:
    job_id = in_state(state)
    (refusal,) = act(ME, [job_id], reason="why").refused
    assert f"is {state}; only dead letters" in refusal.reason
    assert state_of(job_id) == state


def test_discarding_a_dead_letter_skips_what_waits_for_it() -> None:
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"]),
             JobSpec(kind="test.echo", key="c", parents=["b"])]  # fmt: skip
    workflow, (a, b, c) = jobs.submit_workflow("held", specs)
    worker = make_worker()
    end(worker, take(worker, a.id), State.DEAD)
    assert control.discard(ME, [a.id], reason="pointless").done == [a.id]
    assert [state_of(one.id) for one in (a, b, c)] == ["discarded", "skipped", "skipped"]
    assert not DeadLetter.objects.exists()
    found = Workflow.objects.get(pk=workflow)
    assert (found.state, found.closed, found.blocked) == ("failed", 3, 0)
