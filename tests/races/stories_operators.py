"""The stories of operators' actions: each is one transaction, recorded once however often it is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jobs
from jobs import JobSpec, control, rearranging, steering
from jobs.errors import ActionRefused, NotFound
from jobs.models import CancelRequest, Job, OperatorAction, Queue, Ready, Schedule, Scheduled, UniqueKey
from jobs.releasing import release_key
from jobs.states import State
from jobs.unique import Unique
from tests.jobs.ground import in_state
from tests.races.story import BOSS, Story, a_word, states_of

__all__ = ["OPERATORS"]


def again(action: Callable[..., Any], *args: Any, **options: Any) -> None:
    """An operator who does not know whether it happened does it again, and may be told that it has."""
    try:
        action(BOSS, *args, **options)
    except (ActionRefused, NotFound):
        return


def actions(name: str, target: object) -> int:
    return OperatorAction.objects.filter(action=name, target_id=str(target)).count()


def acting(
    name: str,
    begin: Callable[[], Any],
    act: Callable[[Any], None],
    facts: Callable[[Any], bool],
    *,
    recorded: str,
) -> Story:
    def check(ground: Any) -> None:
        assert facts(ground)
        assert actions(recorded, ground) == 1

    return Story(name=name, begin=begin, act=act, facts=check, whole=True)


def on_a_job(
    name: str, state: State, action: Callable[..., Any], becomes: str, *args: Any, **options: Any
) -> Story:
    """One job in that state, which is in another one afterwards."""
    return acting(
        name,
        one(state),
        lambda job: again(action, [job], *args, **options),
        lambda job: states_of(job) == [becomes],
        recorded=name,
    )


def one(state: State) -> Callable[[], int]:
    return lambda: in_state(state)


def a_flow() -> int:
    return jobs.submit_workflow(
        "story",
        [
            JobSpec(kind="test.echo", key="a"),
            JobSpec(kind="test.echo", key="b"),
            JobSpec(kind="test.echo", key="c", parents=["a"]),
        ],
    )[0]


def a_queue() -> str:
    name = a_word()
    jobs.submit("test.echo", queue=name)
    return name


def a_schedule() -> int:
    return steering.create_schedule(BOSS, name=a_word(), kind="test.echo", cron="0 0 1 1 *").pk


def paused(name: str) -> bool:
    return Queue.objects.get(pk=name).paused_at is not None


def at_rest(workflow: int) -> bool:
    return set(Job.objects.filter(workflow_id=workflow).values_list("state", flat=True)) == {"cancelled"}


def moved(job_id: int) -> bool:
    """To a queue that came into being with it."""
    queue = Job.objects.get(pk=job_id).queue
    return queue == elsewhere(job_id) == Ready.objects.get(pk=job_id).queue and paused(queue) is False


def elsewhere(job_id: int) -> str:
    return f"elsewhere-{job_id}"


def a_key_for_ever() -> int:
    return jobs.submit("test.echo", unique_key=Unique(a_word(), scope="forever")).id


def is_free(job_id: int) -> bool:
    return not UniqueKey.objects.filter(job_id=job_id).exists()


# -- what may be done twice --------------------------------------------------------------------------------------------


def request_cancel(job_id: int) -> None:
    control.cancel(BOSS, [job_id])


def requested(job_id: int) -> None:
    assert states_of(job_id) == ["running"]
    assert CancelRequest.objects.filter(job_id=job_id).count() == 1


def reprioritise(job_id: int) -> None:
    control.set_priority(BOSS, [job_id], 50)


def reprioritised(job_id: int) -> None:
    assert Job.objects.get(pk=job_id).priority == 50


def age_faster(name: str) -> None:
    steering.change_queue(BOSS, name, description="", ageing_seconds=5.0)


def ages_faster(name: str) -> None:
    assert Queue.objects.get(pk=name).ageing_seconds == 5.0


def an_appointment() -> Any:
    """One that may start now, and the hour it shall wait for."""
    return SimpleNamespace(job=in_state(State.AVAILABLE), at=datetime.now(UTC) + timedelta(hours=1))


def put_off(ground: Any) -> None:
    rearranging.reschedule(BOSS, [ground.job], ground.at)


def is_put_off(ground: Any) -> None:
    assert states_of(ground.job) == ["scheduled"]
    assert Job.objects.get(pk=ground.job).scheduled_at == ground.at
    assert Scheduled.objects.get(pk=ground.job).at == ground.at


OPERATORS = [
    on_a_job("cancel", State.AVAILABLE, control.cancel, "cancelled"),
    on_a_job("replay", State.DEAD, control.replay, "available", reason="mended"),
    on_a_job("discard", State.DEAD, control.discard, "discarded", reason="pointless"),
    on_a_job("run now", State.SCHEDULED, control.run_now, "available"),
    acting(
        "cancel a workflow",
        a_flow,
        lambda flow: again(control.cancel_workflow, flow),
        at_rest,
        recorded="cancel",
    ),
    acting("pause", a_queue, lambda name: again(steering.pause_queue, name), paused, recorded="pause"),
    acting(
        "delete a schedule",
        a_schedule,
        lambda schedule: again(steering.delete_schedule, schedule),
        lambda schedule: not Schedule.objects.filter(pk=schedule).exists(),
        recorded="delete",
    ),
    acting(
        "move to a new queue",
        one(State.AVAILABLE),
        lambda job: again(rearranging.move, [job], elsewhere(job)),
        moved,
        recorded="move",
    ),
    acting(
        "free a unique key",
        a_key_for_ever,
        lambda job: again(release_key, [job]),
        is_free,
        recorded="release key of",
    ),
    Story(name="ask to stop", begin=one(State.RUNNING), act=request_cancel, facts=requested, whole=True),
    Story(
        name="change priority", begin=one(State.AVAILABLE), act=reprioritise, facts=reprioritised, whole=True
    ),
    Story(name="change ageing", begin=a_queue, act=age_faster, facts=ages_faster, whole=True),
    Story(name="put off", begin=an_appointment, act=put_off, facts=is_put_off, whole=True),
]
