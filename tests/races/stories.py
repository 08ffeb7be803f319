"""Short stories that between them run every statement that writes; each is told again with one of its writes failing.

`act` is repeated after a lost connection, as whoever calls it does: the worker's loops, an operator, a client. What
`facts` asserts holds in the end, whichever write failed and however. A statement that no story runs makes
`test_write_faults.py` fail: add it to the story it belongs to.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.test import Client

import jobs
from jobs import JobSpec, conf, control, retention, steering
from jobs.control import Actor
from jobs.database import in_transaction, open_connection
from jobs.errors import ActionRefused, NotFound
from jobs.loop import DATABASE_AWAY, Loop
from jobs.maintenance import Reporter, Rescuer
from jobs.models import (
    Attempt,
    CancelRequest,
    Claim,
    DeadLetter,
    IdempotencyKey,
    Job,
    LogLine,
    OperatorAction,
    Queue,
    Schedule,
    Slot,
    UniqueKey,
    WorkerProcess,
    Workflow,
)
from jobs.retention import Janitor
from jobs.states import State
from jobs.store import workers
from jobs.unique import Unique
from notifications.items import expand
from notifications.models import Event
from tests.jobs import kinds
from tests.jobs.conftest import Bench, register
from tests.jobs.ground import end, in_state, make_worker, take
from tests.races.stories_bounds import BOUNDS
from tests.races.stories_letters import LETTERS
from tests.races.story import Story, states_of
from tests.support import eventually

__all__ = ["BOSS", "STORIES"]

BOSS = Actor(name="boss")
_NUMBERS = itertools.count()


def told(kind: str, job_id: int) -> int:
    """How often the log says so of the job."""
    items = [item for row in Event.objects.values_list("items", flat=True) for item in expand(row)]
    return sum(1 for _, name, _, payload in items if name == kind and payload.get("job") == job_id)


def actions(name: str, target: object) -> int:
    return OperatorAction.objects.filter(action=name, target_id=str(target)).count()


# -- clients -----------------------------------------------------------------------------------------------------------


def a_client_without_a_key() -> Any:
    """A doubtful submission is sent again."""
    jobs.submit("test.echo")  # so that the queue is known
    return SimpleNamespace(word=a_word(), ids=[], tries=0)


def submit_all(client: Any) -> None:
    client.tries += 1
    first = JobSpec(kind="test.echo", key="a", queue="unserved", deadline=3600.0)
    steering.submit_workflow(BOSS, client.word, [first, JobSpec(kind="test.echo", key="b", parents=["a"])])


def submitted(client: Any) -> None:
    flows = Workflow.objects.filter(name=client.word)
    assert 1 <= flows.count() <= client.tries
    assert all(one.jobs.count() == 2 for one in flows)


def submit_one(client: Any) -> None:
    client.ids.append(jobs.submit("test.echo", {"story": client.word}).id)


def submitted_one(client: Any) -> None:
    found = Job.objects.filter(payload__story=client.word).values_list("pk", flat=True)
    assert set(client.ids) <= set(found)


def submit_alike(client: Any) -> None:
    """Many that differ in nothing but their payloads, into a queue that does not exist yet."""
    queue = client.word.replace(" ", "-")
    specs = [
        JobSpec(kind="test.echo", queue=queue, payload={"story": client.word, "n": n}) for n in range(12)
    ]
    client.ids += [one.id for one in jobs.submit_many(specs)]


def submitted_alike(client: Any) -> None:
    submitted_one(client)
    found = Job.objects.filter(payload__story=client.word).order_by("pk").values_list("payload__n", flat=True)
    assert list(found) in ([*range(12)], [*range(12)] * 2), "all or none, once for each time it was sent"


def a_word() -> str:
    return f"story {next(_NUMBERS)}"


def replace_it(word: str) -> None:
    """A second submission under the same key, the policy being to replace what waits."""
    for number in range(2):
        jobs.submit("test.echo", {"number": number}, unique_key=Unique(word, policy="replace"))


def replaced(word: str) -> None:
    key = UniqueKey.objects.get(key=word)
    assert Job.objects.get(pk=key.job_id).payload == {"number": 1}


def a_client() -> Any:
    name = f"client {datetime.now(UTC).timestamp()}"
    user = get_user_model().objects.create_superuser(name)
    client = Client()
    client.force_login(user)
    return SimpleNamespace(client=client, name=name, answers=[])


def post_once(ground: Any) -> None:
    """A client that sends its key: in doubt it sends the request again."""
    body = {"kind": "test.echo", "payload": {"client": ground.name}}
    answer = ground.client.post(
        "/api/v1/jobs", body, content_type="application/json", headers={"Idempotency-Key": '"once"'}
    )
    if answer.status_code == 503:
        raise OperationalError(answer.content)
    assert answer.status_code == 201, answer.content
    ground.answers.append(answer.json()["id"])


def posted_once(ground: Any) -> None:
    (job,) = Job.objects.filter(payload__client=ground.name)
    assert set(ground.answers) == {job.pk}


# -- a worker ----------------------------------------------------------------------------------------------------------


def a_worker_with_work() -> Any:
    kinds.GATE.clear()
    bench = Bench()
    # Long delays: what was told to wait must not come due within the story, however slow the machine is.
    ways = ("fail", "snooze", "discard", "cancel", "permanent")
    specs = [JobSpec(kind="test.answer", payload={"how": how, "seconds": 600}) for how in ways]
    ids = [one.id for one in jobs.submit_many([*specs, JobSpec(kind="test.echo")])]
    pair = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    later = datetime.now(UTC) + timedelta(seconds=3600)
    waits = JobSpec(kind="test.echo", key="c", parents=["a"], scheduled_at=later)
    workflow, placed = jobs.submit_workflow("story", [*pair, waits])
    due = jobs.submit("test.echo", scheduled_at=datetime.now(UTC) + timedelta(milliseconds=1)).id
    fields = {"kind": "test.echo", "cron": "* * * * *", "queue": "test"}
    schedule = steering.create_schedule(BOSS, name=f"story {workflow}", **fields)
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=datetime.now(UTC) - timedelta(seconds=1))
    return SimpleNamespace(
        bench=bench, ids=ids, pair=[one.id for one in placed], due=due, workflow=workflow, schedule=schedule
    )


def work(ground: Any) -> None:
    """Rounds, until all has ended that ends today."""

    def finished() -> bool:
        try:
            ground.bench.round()
        except DATABASE_AWAY:
            ground.bench.scheduler.close()
            raise
        wanted = ["retryable", "scheduled", "discarded", "cancelled", "dead", "completed"]
        slots = Job.objects.filter(pk__in=Slot.objects.filter(schedule=ground.schedule).values("job_id"))
        return (
            states_of(*ground.ids) == wanted
            and states_of(*ground.pair, ground.due) == ["completed", "completed", "scheduled", "completed"]
            and [one.state for one in slots] == ["completed"]
            and ground.bench.scheduler.held() == 0
        )

    eventually(finished, timeout=30)


def worked(ground: Any) -> None:
    *_, dead, done = ground.ids
    for job_id in (done, *ground.pair[:2], ground.due):
        assert told("job.completed", job_id) == 1
    assert DeadLetter.objects.filter(pk=dead).count() == 1
    outcomes = list(Attempt.objects.filter(job_id__in=ground.ids).order_by("job_id"))
    assert [one.outcome for one in outcomes] == ["failed", "snoozed", "discarded", "cancelled", "failed"]
    assert Slot.objects.filter(schedule=ground.schedule).count() == 1
    assert Job.objects.get(pk=done).attempt == 1
    assert not ground.bench.scheduler.stats["lost"]


def worker_goes(ground: Any) -> None:
    ground.bench.close()
    ground.schedule.delete()


def a_life() -> Any:
    return SimpleNamespace(ids=[], name=f"life {datetime.now(UTC).timestamp()}")


def live(ground: Any) -> None:
    with open_connection("story") as own:
        if not ground.ids:
            ground.ids.append(register(own, name=ground.name))
        with own.cursor() as cursor:
            workers.heartbeat(cursor, ground.ids[0], draining=True, stats={})
        in_transaction(own, partial(workers.stop, worker_id=ground.ids[0], stats={}))


def lived(ground: Any) -> None:
    assert WorkerProcess.objects.get(pk=ground.ids[0]).state == "stopped"
    # One whose registration was in doubt stands there without a beat, and is declared lost after a lease.
    assert WorkerProcess.objects.filter(name=ground.name).count() <= 2


# -- the loops beside it -----------------------------------------------------------------------------------------------


def round_of(loop: Loop) -> None:
    """One tick; a lost connection is what the loop makes of it."""
    try:
        loop.tick()
    except DATABASE_AWAY as error:
        loop._lost(error)
        raise


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_worker_that_died() -> Any:
    worker = make_worker()
    pair = [JobSpec(kind="test.echo", key="a", max_attempts=1), JobSpec(kind="test.echo", key="b")]
    _, (last, again) = jobs.submit_workflow("story", pair)
    asked = jobs.submit("test.echo").id
    take(worker, last.id, again.id, asked)
    control.cancel(BOSS, [asked])
    old = datetime.now(UTC) - timedelta(hours=1)
    WorkerProcess.objects.filter(pk=worker).update(heartbeat_at=old)
    clock = Clock()
    rescuer = Rescuer(on_death=lambda *_: None, clock=clock)
    return SimpleNamespace(
        worker=worker, ids=(last.id, again.id, asked), rescuer=rescuer, clock=clock, pair=(last.id, again.id)
    )


def rescue(ground: Any) -> None:
    def through() -> bool:
        round_of(ground.rescuer)
        ground.clock.now += conf.get().LEASE_SECONDS / 3
        return states_of(*ground.ids) == ["available", "available", "cancelled"]

    eventually(through, timeout=30, interval=0)
    with open_connection("story") as own, own.cursor() as cursor:
        workers.leave(cursor, ground.worker, stats={"lost": 3})


def rescued(ground: Any) -> None:
    row = WorkerProcess.objects.get(pk=ground.worker)
    assert (row.state, row.stats) == ("lost", {"lost": 3})
    for job_id, kind in zip(ground.ids, ("job.rescued", "job.rescued", "job.cancelled"), strict=True):
        assert told(kind, job_id) == 1
        assert Attempt.objects.filter(job_id=job_id, outcome="lost").count() == 1


def a_talker() -> Any:
    kinds.GATE.clear()
    bench = Bench()
    job_id = jobs.submit("test.talk", {"lines": 3}).id
    bench.until(job_id, "completed")
    return SimpleNamespace(
        bench=bench, job=job_id, reporter=Reporter(executor=bench.executor, on_death=lambda *_: None)
    )


def report(ground: Any) -> None:
    round_of(ground.reporter)


def reported(ground: Any) -> None:
    lines = list(LogLine.objects.filter(job_id=ground.job).order_by("id").values_list("line", flat=True))
    said = [f"line {number}\N{REPLACEMENT CHARACTER}" for number in range(3)]
    # In doubt they are written again: a line twice is worth more than a line missing.
    assert lines in (said, said + said)
    assert Job.objects.get(pk=ground.job).progress.fraction == 0.75


def talker_goes(ground: Any) -> None:
    ground.reporter.stop()
    ground.bench.close()


def what_is_old() -> Any:
    with transaction.atomic():
        ended = [in_state(state) for state in (State.COMPLETED, State.SKIPPED, State.DISCARDED)]
    _, (one,) = jobs.submit_workflow("story", [JobSpec(kind="test.echo", key="a")])
    worker = make_worker()
    end(worker, take(worker, one.id), State.COMPLETED)
    Claim.objects.filter(worker_id=worker).delete()
    schedule = steering.create_schedule(BOSS, name=f"old {worker}", kind="test.echo", cron="0 0 1 1 *")
    slot = Slot.objects.create(schedule=schedule, at=datetime(2001, 1, 1, tzinfo=UTC), job_id=1)
    old = datetime.now(UTC) - timedelta(seconds=2 * conf.get().RETENTION_SECONDS)
    Job.objects.filter(finished_at__isnull=False).update(created_at=old, finished_at=old)
    Workflow.objects.update(finished_at=old)
    Slot.objects.filter(pk=slot.pk).update(created_at=old)
    WorkerProcess.objects.filter(pk=worker).update(state="stopped", stopped_at=old)
    # Of a job that was deleted long ago: such a key says how it ended.
    UniqueKey.objects.create(
        kind="test.echo", key=f"old {worker}", scope="window", job_id=1, until=old, state="completed"
    )
    user = get_user_model().objects.create_user(f"old {worker}")
    IdempotencyKey.objects.create(
        user=user, route="POST /", key="old", status=201, answer="{}", expires_at=old
    )
    return SimpleNamespace(
        ids=[*ended, one.id], worker=worker, janitor=Janitor(on_death=lambda *_: None), schedule=schedule
    )


def sweep(ground: Any) -> None:
    # A server whose client is gone holds the janitor's lock for a moment yet; a round without the lock does nothing.
    eventually(_nobody_cleans)
    round_of(ground.janitor)


def _nobody_cleans() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s) AND pg_advisory_unlock(%s)", [retention.LOCK] * 2)
        (free,) = cursor.fetchone()
    return bool(free)


def swept(ground: Any) -> None:
    assert not Job.objects.filter(pk__in=ground.ids).exists()
    assert not WorkerProcess.objects.filter(pk=ground.worker).exists()
    assert not Slot.objects.filter(schedule=ground.schedule).exists()
    assert not UniqueKey.objects.filter(key=f"old {ground.worker}").exists()
    assert not IdempotencyKey.objects.filter(key="old").exists()


# -- operators ---------------------------------------------------------------------------------------------------------


def again(action: Callable[..., Any], *args: Any, **options: Any) -> None:
    """An operator who does not know whether it happened does it again, and may be told that it has."""
    try:
        action(BOSS, *args, **options)
    except (ActionRefused, NotFound):
        return


def acting(
    name: str,
    begin: Callable[[], Any],
    act: Callable[[Any], None],
    facts: Callable[[Any], bool],
    *,
    recorded: str,
) -> Story:
    """An operator's action: one transaction, recorded once however often it is sent."""

    def check(ground: Any) -> None:
        assert facts(ground)
        assert actions(recorded, ground) == 1

    return Story(name=name, begin=begin, act=act, facts=check, whole=True)


def one(state: State) -> Callable[[], int]:
    return lambda: in_state(state)


def is_(state: str) -> Callable[[int], bool]:
    return lambda job_id: states_of(job_id) == [state]


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
    name = f"story-{datetime.now(UTC).timestamp()}"
    jobs.submit("test.echo", queue=name)
    return name


def a_schedule() -> int:
    name = f"story {datetime.now(UTC).timestamp()}"
    return steering.create_schedule(BOSS, name=name, kind="test.echo", cron="0 0 1 1 *").pk


def paused(name: str) -> bool:
    return Queue.objects.get(pk=name).paused_at is not None


def at_rest(workflow: int) -> bool:
    return set(Job.objects.filter(workflow_id=workflow).values_list("state", flat=True)) == {"cancelled"}


OPERATORS = [
    acting(
        "cancel what waits",
        one(State.AVAILABLE),
        lambda job: again(control.cancel, [job]),
        is_("cancelled"),
        recorded="cancel",
    ),
    acting(
        "replay",
        one(State.DEAD),
        lambda job: again(control.replay, [job], reason="mended"),
        is_("available"),
        recorded="replay",
    ),
    acting(
        "discard",
        one(State.DEAD),
        lambda job: again(control.discard, [job], reason="pointless"),
        is_("discarded"),
        recorded="discard",
    ),
    acting(
        "run now",
        one(State.SCHEDULED),
        lambda job: again(control.run_now, [job]),
        is_("available"),
        recorded="run now",
    ),
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
]


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


STORIES = [
    Story(
        name="submit a workflow", begin=a_client_without_a_key, act=submit_all, facts=submitted, whole=True
    ),
    Story(name="submit one", begin=a_client_without_a_key, act=submit_one, facts=submitted_one, whole=True),
    Story(
        name="submit many", begin=a_client_without_a_key, act=submit_alike, facts=submitted_alike, whole=True
    ),
    Story(name="replace a unique job", begin=a_word, act=replace_it, facts=replaced),
    Story(name="a request with a key", begin=a_client, act=post_once, facts=posted_once, whole=True),
    Story(name="a worker's rounds", begin=a_worker_with_work, act=work, facts=worked, end=worker_goes),
    Story(name="a worker's life", begin=a_life, act=live, facts=lived),
    Story(
        name="a rescue",
        begin=a_worker_that_died,
        act=rescue,
        facts=rescued,
        end=lambda ground: ground.rescuer.stop(),
    ),
    Story(
        name="reports",
        begin=a_talker,
        act=report,
        facts=reported,
        end=talker_goes,
    ),
    Story(
        name="retention",
        begin=what_is_old,
        act=sweep,
        facts=swept,
        end=lambda ground: ground.janitor.stop(),
    ),
    Story(name="ask to stop", begin=one(State.RUNNING), act=request_cancel, facts=requested, whole=True),
    Story(
        name="change priority", begin=one(State.AVAILABLE), act=reprioritise, facts=reprioritised, whole=True
    ),
    Story(name="change ageing", begin=a_queue, act=age_faster, facts=ages_faster, whole=True),
    *OPERATORS,
    *LETTERS,
    *BOUNDS,
]
