"""The stories of a worker: its rounds, its life, and an attempt under suspicion that is marked before it begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import jobs
from jobs import JobSpec, steering
from jobs.database import django_cursor, in_transaction, open_connection
from jobs.loop import DATABASE_AWAY
from jobs.models import Attempt, DeadLetter, Job, Schedule, Scheduled, Slot, WorkerProcess
from jobs.store import workers
from tests.jobs import kinds
from tests.jobs.conftest import Bench, register
from tests.jobs.ground import make_worker, take
from tests.races.story import BOSS, Story, a_word, states_of, told
from tests.support import eventually

__all__ = ["WORKERS"]


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
    due = _due_by_now()
    # Once a year: another slot must not come due within the story.
    fields = {"kind": "test.echo", "cron": "0 0 1 1 *", "queue": "test"}
    schedule = steering.create_schedule(BOSS, name=f"story {workflow}", **fields)
    Schedule.objects.filter(pk=schedule.pk).update(next_slot_at=datetime.now(UTC) - timedelta(seconds=1))
    return SimpleNamespace(
        bench=bench, ids=ids, pair=[one.id for one in placed], due=due, workflow=workflow, schedule=schedule
    )


def _due_by_now() -> int:
    """A job that waited for time: submitted with a time so near, it would on some machines never have waited."""
    job_id = jobs.submit("test.echo", scheduled_at=datetime.now(UTC) + timedelta(seconds=3600)).id
    at = datetime.now(UTC) - timedelta(seconds=1)
    Job.objects.filter(pk=job_id).update(scheduled_at=at)
    Scheduled.objects.filter(pk=job_id).update(at=at)
    return job_id


def a_round(bench: Bench) -> None:
    try:
        bench.round()
    except DATABASE_AWAY:
        bench.scheduler.close()
        raise


def work(ground: Any) -> None:
    """Rounds, until all has ended that ends today."""

    def finished() -> bool:
        a_round(ground.bench)
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


def an_idle_worker() -> Any:
    kinds.GATE.clear()
    bench = Bench()
    bench.round()
    bench.scheduler._polled += 3600.0
    return SimpleNamespace(bench=bench, ids=[jobs.submit("test.echo").id for _ in range(2)])


def hear_a_bell(ground: Any) -> None:
    """No poll: what is ready is claimed unseen."""

    def finished() -> bool:
        try:
            ground.bench.scheduler.bell()
            ground.bench.scheduler.tick()
        except DATABASE_AWAY:
            ground.bench.scheduler.close()
            raise
        return states_of(*ground.ids) == ["completed", "completed"] and not ground.bench.scheduler.held()

    eventually(finished, timeout=30)


def heard(ground: Any) -> None:
    for job_id in ground.ids:
        assert told("job.completed", job_id) == 1
        assert told("job.started", job_id) == 1 + told("job.given_back", job_id)
        assert Job.objects.get(pk=job_id).attempt == 1
    assert not ground.bench.scheduler.stats["lost"]


def a_life() -> Any:
    return SimpleNamespace(ids=[], name=a_word())


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


def a_suspect() -> Any:
    """A job that has lost a worker before: its next attempt is marked as begun before its handler begins."""
    kinds.GATE.clear()
    job_id, lost = jobs.submit("test.echo", max_attempts=1).id, make_worker()
    take(lost, job_id)
    WorkerProcess.objects.filter(pk=lost).update(state="lost")
    with django_cursor() as cursor:
        assert workers.rescue_orphans(cursor) == 1
    return SimpleNamespace(bench=Bench(), job=job_id)


def try_it_again(ground: Any) -> None:
    def finished() -> bool:
        a_round(ground.bench)
        return states_of(ground.job) == ["completed"] and ground.bench.scheduler.held() == 0

    eventually(finished, timeout=30)


def tried_once(ground: Any) -> None:
    """What could not be asked whether it may begin has not begun, and cost nothing."""
    assert told("job.completed", ground.job) == 1
    assert Job.objects.get(pk=ground.job).attempt == 2
    assert list(Attempt.objects.filter(job_id=ground.job).values_list("number", "outcome")) == [(1, "lost")]
    assert not ground.bench.scheduler.stats["lost"]


WORKERS = [
    Story(name="a worker's rounds", begin=a_worker_with_work, act=work, facts=worked, end=worker_goes),
    Story(
        name="an idle worker hears a bell",
        begin=an_idle_worker,
        act=hear_a_bell,
        facts=heard,
        end=lambda ground: ground.bench.close(),
    ),
    Story(name="a worker's life", begin=a_life, act=live, facts=lived),
    Story(
        name="a job that lost its worker",
        begin=a_suspect,
        act=try_it_again,
        facts=tried_once,
        end=lambda ground: ground.bench.close(),
    ),
]
