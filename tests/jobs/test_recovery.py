"""Lost workers: what was held runs again, and what they still say is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import jobs
from jobs import JobSpec, control
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.explanation import explained
from jobs.maintenance import Heartbeat, Rescuer
from jobs.models import Attempt, Claim, Closed, DeadLetter, Job, WorkerProcess
from jobs.states import State
from jobs.store import statements, workers
from tests.jobs import kinds
from tests.jobs.conftest import Bench
from tests.jobs.ground import end, make_worker, state_of, take, told
from tests.jobs.losing import Clock, lose
from tests.support import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables_agree")]


def test_a_batch_goes_back_and_a_loss_costs_no_attempt(rescuer: Rescuer, clock: Clock) -> None:
    worker = make_worker()
    again = jobs.submit("test.echo", max_attempts=2).id
    last = jobs.submit("test.echo", max_attempts=1).id
    ended = jobs.submit("test.echo").id
    batch = take(worker, again, last, ended)
    end(worker, [one for one in batch if one.id == ended], State.COMPLETED)
    ready_at = Job.objects.get(pk=again).ready_at
    lose(worker, rescuer, clock)
    assert [state_of(one) for one in (again, last, ended)] == ["available", "available", "completed"]
    assert Job.objects.get(pk=again).ready_at == ready_at  # it keeps its place in the line
    for claimed in take(make_worker(), again, last):
        assert claimed.attempt == 2
        assert claimed.max_attempts == (3 if claimed.id == again else 2)


LATE = [
    State.COMPLETED,
    State.RETRYABLE,
    State.SCHEDULED,
    State.AVAILABLE,
    State.DEAD,
    State.DISCARDED,
    State.CANCELLED,
]


@pytest.mark.parametrize("target", LATE)
@pytest.mark.parametrize("taken_again", [False, True])
def test_the_fence_refuses_whatever_a_lost_worker_still_says(
    rescuer: Rescuer, clock: Clock, target: State, taken_again: bool
) -> None:
    worker = make_worker()
    specs = [JobSpec(kind="test.echo", key="a"), JobSpec(kind="test.echo", key="b", parents=["a"])]
    _, (a, b) = jobs.submit_workflow("pair", specs)
    held = take(worker, a.id)
    lose(worker, rescuer, clock)
    if taken_again:
        take(make_worker(), a.id)
    before = (_everything(), len(told()))
    recorded = end(worker, held, target)
    assert (recorded.lost, recorded.recorded, recorded.released) == ([a.id], [], 0)
    assert before == (_everything(), len(told()))
    assert state_of(b.id) == "blocked"


def _everything() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values()) for model in (Job, Attempt, DeadLetter, Closed, Claim)
    ]


@pytest.mark.parametrize("guard", ["j.attempt = u.attempt", "j.worker_id = %(worker)s"])
def test_without_its_fence_a_late_completion_would_count(monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """The control of the test above: each half of the fence is needed. Only worker: same worker, later attempt."""
    real = statements.statement

    def unguarded(name: str) -> str:
        text = real(name)
        assert name != "complete" or guard in text
        return text.replace(guard, "%(worker)s::bigint IS NOT NULL") if name == "complete" else text

    first = make_worker()
    job_id = jobs.submit("test.echo").id
    held = take(first, job_id)
    end(first, held, State.RETRYABLE)
    control.run_now(Actor(), [job_id])
    second = first if "attempt" in guard else make_worker()
    fresh = take(second, job_id)
    if "worker" in guard:
        held = fresh  # the right attempt in the wrong hands
    assert end(first if "worker" in guard else second, held, State.COMPLETED).lost == [job_id]
    monkeypatch.setattr(statements, "statement", unguarded)
    assert end(first if "worker" in guard else second, held, State.COMPLETED).recorded == [job_id]
    Attempt.objects.all().delete()
    Job.objects.all().delete()  # what it left behind agrees with nothing


def test_a_lost_worker_claims_nothing_for_threads_that_are_still_inside_their_old_jobs(
    bench: Bench, rescuer: Rescuer, clock: Clock
) -> None:
    """It would hold what nobody begins, give it back a second later, and claim it again."""
    placed = [one.id for one in jobs.submit_many([JobSpec(kind="test.gated")] * 3)]
    bench.round()
    eventually(lambda: len(bench.executor.running()) == 3)
    lose(bench.worker_id, rescuer, clock)
    bench.scheduler.give_up()
    bench.scheduler.start_anew(make_worker())
    for _ in range(3):
        bench.round()
        assert bench.scheduler.held() == 1, "one of four threads is free"
        eventually(lambda: not bench.executor.unstarted())
    kinds.GATE.set()
    for job_id in placed:
        assert bench.until(job_id, "completed").attempt == 2


@pytest.fixture
def heartbeat(bench: Bench) -> Iterator[Heartbeat]:
    made = Heartbeat(
        worker_id=lambda: bench.scheduler.worker_id,
        executor=bench.executor,
        stats=dict,
        draining=lambda: False,
        on_lost=lambda _: None,
        on_death=lambda *_: None,
    )
    yield made
    made.stop()


def test_handlers_of_lost_jobs_that_still_run_are_told_with_the_heartbeat_and_by_explain(
    bench: Bench, rescuer: Rescuer, clock: Clock, heartbeat: Heartbeat
) -> None:
    """All four threads of the worker are inside jobs that belong to others by now: it holds nothing and is not free."""
    placed = [one.id for one in jobs.submit_many([JobSpec(kind="test.gated")] * 4)]
    bench.round()
    eventually(lambda: len(bench.executor.running()) == 4)

    def told_by_its_row() -> int:
        heartbeat.tick()
        return WorkerProcess.objects.get(pk=bench.scheduler.worker_id).lost_running

    def busy() -> bool:
        return any(reason.code == "workers_busy" for reason in explained(placed[0]).reasons)

    assert told_by_its_row() == 0, "they are its own"
    lose(bench.worker_id, rescuer, clock)
    bench.scheduler.give_up()
    bench.scheduler.start_anew(make_worker())
    WorkerProcess.objects.filter(pk=bench.scheduler.worker_id).update(kinds=["test.gated"], concurrency=4)
    assert not busy(), "the control: without what the heartbeat tells it seems to be free"
    assert told_by_its_row() == 4
    assert busy()
    bench.round()
    assert bench.scheduler.held() == 0, "nor does it take any"
    kinds.GATE.set()
    eventually(lambda: told_by_its_row() == 0)
    assert not busy()


def test_what_still_runs_is_no_concern_of_the_row_of_a_worker_that_is_gone(
    rescuer: Rescuer, clock: Clock
) -> None:
    lost, stopped = make_worker(), make_worker()
    with django_cursor() as cursor:
        for worker in (lost, stopped):
            assert workers.heartbeat(cursor, worker, draining=False, stats={}, lost_running=2)
        workers.stop(cursor, stopped, stats={})
    assert WorkerProcess.objects.get(pk=lost).lost_running == 2
    lose(lost, rescuer, clock)
    assert set(WorkerProcess.objects.values_list("state", "lost_running")) == {("lost", 0), ("stopped", 0)}


def test_a_lost_worker_starts_anew_and_forgets_what_it_held(
    bench: Bench, rescuer: Rescuer, clock: Clock
) -> None:
    bench.scheduler._prefetch.average = 0.001  # short jobs so far: it claims ahead
    placed = [one.id for one in jobs.submit_many([JobSpec(kind="test.gated")] * 6)]
    bench.round()
    eventually(lambda: len(bench.executor.running()) == 4)
    contexts = list(bench.executor.running().values())
    lose(bench.worker_id, rescuer, clock)
    assert {state_of(job_id) for job_id in placed} == {"available"}
    bench.scheduler.give_up()
    assert bench.scheduler.stats["lost"] == 6
    bench.scheduler.start_anew(make_worker())
    assert bench.scheduler.held() == 0
    assert bench.executor.unstarted() == 0
    assert {context.cancel_reason for context in contexts} == {"the worker was declared lost"}
    kinds.GATE.set()
    for job_id in placed:
        job = bench.until(job_id, "completed")
        assert (job.attempt, job.worker_id) == (2, bench.scheduler.worker_id)
    assert bench.scheduler.stats["lost"] == 0, "the old id's counters stay with it"
