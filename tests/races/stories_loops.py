"""The stories of the loops beside the scheduler: rescue, reports, deadlines, retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, transaction

import jobs
from jobs import JobSpec, conf, control, retention, steering
from jobs.database import open_connection
from jobs.expiry import Expirer
from jobs.loop import DATABASE_AWAY, Loop
from jobs.maintenance import Reporter, Rescuer
from jobs.models import (
    Attempt,
    Claim,
    Expiring,
    IdempotencyKey,
    Job,
    LogLine,
    Slot,
    UniqueKey,
    WorkerProcess,
    Workflow,
)
from jobs.retention import Janitor
from jobs.states import State
from jobs.store import workers
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import end, in_state, make_worker, take
from tests.jobs.losing import Clock
from tests.races.story import BOSS, Story, states_of, told
from tests.support import eventually

__all__ = ["LOOPS"]


def round_of(loop: Loop) -> None:
    """One tick; a lost connection is what the loop makes of it."""
    try:
        loop.tick()
    except DATABASE_AWAY as error:
        loop._lost(error)
        raise


# -- rescue ------------------------------------------------------------------------------------------------------------


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


# -- reports -----------------------------------------------------------------------------------------------------------


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
    assert lines == said, "each of them once, whatever became of the commit"
    assert Job.objects.get(pk=ground.job).progress.fraction == 0.75


def talker_goes(ground: Any) -> None:
    ground.reporter.stop()
    ground.bench.close()


# -- deadlines ---------------------------------------------------------------------------------------------------------

_TIME_PASSES = """
    UPDATE jobs_job SET options = jsonb_set(options, '{expires_at}', to_jsonb(clock_timestamp() - interval '1 s'))
    WHERE id = ANY(%(ids)s);
    UPDATE jobs_expiring SET at = clock_timestamp() - interval '1 s' WHERE job_id = ANY(%(ids)s)
"""


def what_had_to_begin() -> Any:
    """By now: one job waits, one runs, one was cancelled."""
    later = datetime.now(UTC) + timedelta(minutes=1)
    ids = [jobs.submit("test.echo", expires_at=later).id for _ in range(3)]
    waits, runs, over = ids
    take(make_worker(), runs)
    control.cancel(BOSS, [over])
    with connection.cursor() as cursor:
        cursor.execute(_TIME_PASSES, {"ids": ids})
    return SimpleNamespace(
        waits=waits, runs=runs, over=over, expirer=Expirer(on_death=lambda *_: None), began=datetime.now(UTC)
    )


def expire(ground: Any) -> None:
    round_of(ground.expirer)


def expired(ground: Any) -> None:
    assert states_of(ground.waits, ground.runs, ground.over) == ["discarded", "running", "cancelled"]
    assert told("job.discarded", ground.waits) == 1
    # Of the one that runs it will be asked again, since its attempt may come back.
    (left,) = Expiring.objects.filter(job_id__in=(ground.waits, ground.runs, ground.over))
    assert left.job_id == ground.runs
    assert left.at > ground.began


# -- retention ---------------------------------------------------------------------------------------------------------


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


LOOPS = [
    Story(
        name="a rescue",
        begin=a_worker_that_died,
        act=rescue,
        facts=rescued,
        end=lambda ground: ground.rescuer.stop(),
    ),
    Story(name="reports", begin=a_talker, act=report, facts=reported, end=talker_goes),
    Story(
        name="deadlines",
        begin=what_had_to_begin,
        act=expire,
        facts=expired,
        end=lambda ground: ground.expirer.stop(),
        whole=True,
    ),
    Story(
        name="retention",
        begin=what_is_old,
        act=sweep,
        facts=swept,
        end=lambda ground: ground.janitor.stop(),
    ),
]
