"""Why is it not running? The facts from the database, and how long others may go before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command

import jobs
from jobs import JobSpec, conf, explanation, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.errors import NotFound
from jobs.models import Bucket, Job, Queue, WorkerProcess
from jobs.states import State
from jobs.store.claiming import claim
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.jobs.ground import end, in_state, make_worker, take

# -- the facts from the database ---------------------------------------------------------------------------------------


def serve(*queues: str, of: tuple[str, ...] = ("test.echo",), **fields: Any) -> None:
    WorkerProcess.objects.create(
        name="w", hostname="h", pid=1, queues=list(queues), kinds=list(of), **{"concurrency": 1, **fields}
    )


def why(job: int) -> list[str]:
    return [reason.code for reason in explanation.explained(job).reasons]


def waiting(**options: Any) -> int:
    return jobs.submit("test.echo", **options).id


def run(job: int) -> None:
    """By a worker that is gone by now: whether one serves the queue is another question."""
    worker = make_worker()
    limited = {job: "test"}
    with django_cursor() as cursor:
        assert claim(cursor, worker_id=worker, candidates=[job], limit=1, limited=limited).jobs
    WorkerProcess.objects.filter(pk=worker).update(state="stopped")


def run_by_the_newest(job: int) -> None:
    newest = WorkerProcess.objects.latest("pk").pk
    assert take(newest, job)


@pytest.mark.django_db
class TestFacts:
    def test_a_job_that_is_next(self) -> None:
        serve()
        assert why(waiting()) == ["next"]

    def test_states(self) -> None:
        serve()
        assert why(in_state(State.RUNNING)) == ["running"]
        assert why(in_state(State.DEAD)) == ["dead"]
        running = in_state(State.RUNNING)
        assert explanation.explained(running).reasons[0].text == "It runs at this moment."
        WorkerProcess.objects.update(heartbeat_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
        assert (
            "no sign of life since 2026-01-31 12:00:00 UTC" in explanation.explained(running).reasons[0].text
        )
        serve()
        skipped = in_state(State.SKIPPED)
        assert "a parent ended" in explanation.explained(skipped).reasons[0].text
        with pytest.raises(NotFound):
            why(10**9)

    def test_parents_that_have_not_finished(self) -> None:
        serve()
        specs = [JobSpec(kind="test.echo", key=str(n)) for n in range(13)]
        _, placed = jobs.submit_workflow(
            "w", [*specs, JobSpec(kind="test.echo", key="c", parents=[s.key for s in specs])]
        )
        worker = make_worker()
        end(worker, take(worker, placed[0].id), State.COMPLETED)
        (reason,) = explanation.explained(placed[-1].id).reasons
        assert reason.jobs == [one.id for one in placed[1:11]]
        assert "and 2 more" in reason.text

    def test_a_time_that_lies_ahead(self) -> None:
        serve()
        at = datetime.now(UTC) + timedelta(hours=1)
        (reason,) = explanation.explained(waiting(scheduled_at=at)).reasons
        assert (reason.code, reason.until) == ("time", at)

    def test_pauses_and_by_whom(self) -> None:
        serve()
        job = waiting()
        queue_steering.pause_queue(Actor(name="olga"), "test")
        queue_steering.pause_kind(Actor(name="otto"), "test.echo")
        queue, kind = explanation.explained(job).reasons
        assert "olga" in queue.text
        assert "otto" in kind.text
        queue_steering.resume_queue(Actor(), "test")
        queue_steering.resume_kind(Actor(), "test.echo")
        assert why(job) == ["next"]

    def test_workers(self) -> None:
        job = waiting()
        assert why(job) == ["no_worker"]
        serve("other")
        serve(state="lost")
        serve(state="draining")
        assert why(job) == ["no_worker"]
        # All were killed: nobody is left who would declare them lost.
        serve(heartbeat_at=datetime.now(UTC) - timedelta(seconds=conf.get().LEASE_SECONDS + 1))
        assert why(job) == ["no_worker"]
        serve("test", of=("something.else",))
        assert why(job) == ["unknown_kind"]
        serve("test")
        assert why(job) == ["next"]

    def test_workers_that_have_no_thread_left(self) -> None:
        worker = make_worker()
        WorkerProcess.objects.filter(pk=worker).update(kinds=["test.echo"], concurrency=2)
        first, second, third = (waiting() for _ in range(3))
        (busy,) = take(worker, first)
        assert why(second) == ["next"]
        (other,) = take(worker, second)
        (reason,) = explanation.explained(third).reasons
        assert (reason.code, reason.jobs) == ("workers_busy", [first, second])
        serve(of=("something.else",), concurrency=1)
        assert why(third) == ["workers_busy"]
        end(worker, [busy], State.COMPLETED)
        assert why(third) == ["next"]
        end(worker, [other], State.COMPLETED)

    def test_workers_whose_threads_are_inside_jobs_that_they_have_lost(self) -> None:
        job = waiting()
        serve(concurrency=2, lost_running=1)
        assert why(job) == ["next"]
        WorkerProcess.objects.update(lost_running=2)
        (reason,) = explanation.explained(job).reasons
        assert (reason.code, reason.jobs) == ("workers_busy", [])
        # More than it has threads: coroutines have places of their own. The other worker is free all the same.
        WorkerProcess.objects.update(lost_running=5)
        serve()
        assert why(job) == ["next"]
        run_by_the_newest(waiting())
        assert why(job) == ["workers_busy"]

    def test_limits_and_who_holds_them(self) -> None:
        serve()
        first, second, third = (waiting(concurrency_key="a") for _ in range(3))
        queue_steering.change_queue(Actor(), "test", max_running=1, key_max_running=1)
        run(first)
        found = explanation.explained(second).reasons
        assert [(reason.code, list(reason.jobs)) for reason in found] == [
            ("queue_limit", [first]),
            ("key_limit", [first]),
        ]
        assert why(third) == ["queue_limit", "key_limit", "jobs_ahead"]

    def test_jobs_of_its_own_key_are_counted_apart(self) -> None:
        queue_steering.change_queue(Actor(), Queue.objects.create(pk="test").pk, key_rate=9)
        for key in ("a", "b", "a", None):
            waiting(concurrency_key=key)
        last = waiting(concurrency_key="a")
        waiting(concurrency_key="a")
        facts = explanation.facts_of(Job.objects.get(pk=last))
        assert (facts.ahead, facts.ahead_of_key) == (4, 2)

    def test_rates_and_until_when(self) -> None:
        serve()
        first, second = (waiting(concurrency_key="a") for _ in range(2))
        queue_steering.change_queue(
            Actor(), "test", rate=1, rate_seconds=3600, key_rate=1, key_rate_seconds=1800
        )
        run(first)
        found = explanation.explained(second)
        assert [reason.code for reason in found.reasons] == ["queue_rate", "key_rate"]
        assert found.starts_at is not None
        assert timedelta(minutes=58) < found.starts_at - datetime.now(UTC) < timedelta(minutes=61)
        Bucket.objects.update(refilled_at=datetime.now(UTC) - timedelta(hours=2))
        assert why(second) == ["next"]

    def test_jobs_before_it_in_every_lane(self) -> None:
        serve()
        urgent = [waiting(priority=9, concurrency_key=key) for key in ("a", "b", None)]
        jobs.submit("test.async", priority=9)
        job, after = waiting(), waiting()
        elsewhere = waiting(queue="other", priority=9)
        assert why(urgent[0]) == ["next"]
        either: tuple[dict[str, Any], ...] = ({}, {"key_max_running": 9})
        for lanes in either:
            queue_steering.change_queue(Actor(), "test", **lanes)
            (reason,) = explanation.explained(job).reasons
            assert reason.text.startswith("4 jobs are before it")
        assert explanation.explained(after).reasons[0].text.startswith("5 jobs")
        assert why(elsewhere) == ["next"]

    def test_jobs_before_it_in_very_many_lanes(self) -> None:
        serve()
        queue_steering.change_queue(Actor(), Queue.objects.create(pk="test").pk, key_max_running=1)
        specs = [JobSpec(kind="test.echo", priority=9, concurrency_key=f"k{n}") for n in range(1100)]
        jobs.submit_many(specs)
        (reason,) = explanation.explained(waiting()).reasons
        assert reason.text.startswith("1,100 jobs are before it")

    def test_the_pace_of_the_queue(self) -> None:
        serve()
        worker = make_worker()
        done = [waiting() for _ in range(6)]
        end(worker, take(worker, *done), State.COMPLETED)
        WorkerProcess.objects.filter(pk=worker).update(state="stopped")
        Job.objects.filter(pk__in=done).update(finished_at=datetime.now(UTC) - timedelta(seconds=3))
        waiting(), waiting()
        found = explanation.explained(waiting())
        assert found.starts_at is not None
        assert timedelta(seconds=0.5) < found.starts_at - datetime.now(UTC) < timedelta(seconds=4)
        assert "pace" in found.starts_note

    def test_the_command_line_says_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        job = waiting()
        call_command("jobs", "explain", str(job))
        assert "No live worker serves its queue, test." in capsys.readouterr().out
        call_command("jobs", "explain", str(job), "--json")
        assert '"code": "no_worker"' in capsys.readouterr().out

    def test_the_command_line_shows_how_long_others_may_go_before_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = waiting(priority=40)
        call_command("jobs", "show", str(job), "--json")
        told = json.loads(capsys.readouterr().out)
        waits = datetime.fromisoformat(told["overtaken_until"]) - datetime.fromisoformat(told["ready_at"])
        assert waits == timedelta(hours=1)


# -- how long others may go before it ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_overtaken_until_is_the_bound_of_ageing() -> None:
    jobs.submit("test.echo")
    for ageing, priority, steps in ((60.0, 0, 100), (60.0, -100, 200), (0.5, 100, 0)):
        Queue.objects.update(ageing_seconds=ageing)
        job = Job.objects.get(pk=waiting(priority=priority))
        assert job.ready_at is not None
        assert explanation.overtaken_until(job) == job.ready_at + timedelta(seconds=steps * ageing)
    Queue.objects.update(ageing_seconds=None)
    assert explanation.overtaken_until(Job.objects.get(pk=waiting(priority=99))) is None
    urgent = Job.objects.get(pk=waiting(priority=100))
    assert explanation.overtaken_until(urgent) == urgent.ready_at
    assert explanation.overtaken_until(Job.objects.get(pk=in_state(State.SCHEDULED))) is None
    Queue.objects.update(ageing_seconds=86400.0 * 365)
    far = Job.objects.get(pk=waiting(priority=-100))
    assert explanation.overtaken_until(far) is not None
